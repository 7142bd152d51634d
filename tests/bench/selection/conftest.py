from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from bench.config.compose import compose
from bench.training.run import train_runs
from bench.training.shared import Shared
from tests.helpers.episodes import PENDULUM, random_episodes, write_minari

SMALL = ("device=cpu", "seeds=2", "algo.hidden=[8]", "algo.updates=30", "pi_ref.updates=30", "eval.every=30", "eval.episodes=2",
         "eval.final_episodes=4", "eval.workers=1", "trainer.processes=1")  # fmt: skip


def train(results: Path, suite: str, *overrides: str) -> None:
    """Train one tiny run."""
    with Shared() as shared:
        train_runs([compose([*SMALL, f"results_dir={results}", f"suite={suite}", *overrides])], shared)


@pytest.fixture(scope="package")
def results(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """Suites of tiny runs: `mine` on the fork with three methods, `apart` without an environment, `other` on another data set,
    which states no densities."""
    from envs.recorded.record import record

    folder = tmp_path_factory.mktemp("selection")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("MINARI_DATASETS_PATH", str(folder / "data"))
        (folder / "data").mkdir()
        record("iwsft/fork-v0", steps=900, workers=1)
        write_minari(PENDULUM, random_episodes(12, obs=4, act=1))
        for algo in ("bc", "iql", "td3_bc"):
            train(folder, "mine", f"algo={algo}", "dataset=iwsft/fork-v0")
        train(folder, "apart", "algo=bc", "dataset=iwsft/fork-v0", "env=none", "seeds=3")
        train(folder, "other", "algo=bc", f"dataset={PENDULUM}@first:10", "env=none")
        yield folder
