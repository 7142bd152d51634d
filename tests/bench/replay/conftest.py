from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from algos.methods.weighted_bc import WeightedBCConfig
from bench.config.schema import Config, EvalConfig
from bench.training.run import train_run
from bench.training.shared import Shared


@pytest.fixture(scope="module")
def shared() -> Iterator[Shared]:
    """Data and environments of the tests of one file."""
    with Shared() as shared:
        yield shared


@pytest.fixture(scope="module")
def finished(tmp_path_factory: pytest.TempPathFactory, shared: Shared) -> Iterator[Path]:
    """A run of a tiny policy on a tiny data set."""
    from envs.recorded.record import record

    folder = tmp_path_factory.mktemp("verify")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("MINARI_DATASETS_PATH", str(folder / "data"))
        (folder / "data").mkdir()
        record("iwsft/hopper/medium-replay-v0", steps=1500, workers=1)
        config = Config(
            algo=WeightedBCConfig("bc", 20, 32, hidden=[8]), dataset="iwsft/hopper/medium-replay-v0", seeds=[0, 1],
            eval=EvalConfig(every=20, episodes=2, final_episodes=4, workers=1), results_dir=str(folder), device="cpu",
        )  # fmt: skip
        yield train_run(config, shared).path
