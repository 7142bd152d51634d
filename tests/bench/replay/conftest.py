from __future__ import annotations

from pathlib import Path

import pytest

from algos.methods.weighted_bc import Training, WeightedBCConfig
from bench.config.schema import Config, EvalConfig
from bench.training import shared as resources
from bench.training.run import run


@pytest.fixture(scope="module")
def finished(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run of a tiny policy on a tiny data set."""
    from envs.recorded.record import record

    folder = tmp_path_factory.mktemp("verify")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("MINARI_DATASETS_PATH", str(folder / "data"))
        (folder / "data").mkdir()
        record("iwsft/hopper/medium-replay-v0", steps=1500, workers=1)
        short = Training(updates=20, batch_size=32)
        config = Config(
            algo=WeightedBCConfig("bc", hidden=[8], scratch=short), dataset="iwsft/hopper/medium-replay-v0", seeds=[0, 1],
            eval=EvalConfig(every=20, episodes=2, final_episodes=4, workers=1), results_dir=str(folder), device="cpu",
        )  # fmt: skip
        resources._data.clear()
        yield run(config).path
        resources._data.clear()
        resources.close()
