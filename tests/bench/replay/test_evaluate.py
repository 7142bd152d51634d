"""One trained CFGRL run, scored at several guidance weights."""

from __future__ import annotations

import csv
from pathlib import Path
from typing import Any

import gymnasium
import numpy as np
import pytest

from algos.errors import ConfigError
from bench.errors import RunError
from bench.replay.evaluate import parse, sweep
from bench.storage.rundir import RunDir
from bench.training.evaluate import evaluate
from bench.training.run import run
from envs.data.logged_data import LoggedData
from envs.data.trajectories import Trajectories
from tests.helpers.learners import _configured


@pytest.fixture
def pendulum(monkeypatch: pytest.MonkeyPatch) -> LoggedData:
    """Random logged episodes that fit InvertedPendulum-v5, in every data set's place."""
    rng, episodes = np.random.default_rng(0), []
    for _ in range(10):
        ends = np.arange(6) == 5
        episodes.append((rng.normal(size=(7, 4)), rng.uniform(-1, 1, (6, 1)), rng.normal(size=6), ends, ~ends & False))
    spec = gymnasium.spec("InvertedPendulum-v5").to_json()
    bounds = np.full(1, 3, np.float32)
    data = LoggedData("test/pendulum-v0", Trajectories.from_episodes(episodes), -bounds, bounds, spec, None, 0.0)
    for place in ("bench.training.run.data_set", "bench.replay.evaluate.data_set"):
        monkeypatch.setattr(place, lambda *_: data)
    return data


def test_a_run_is_scored_at_many_weights(pendulum: LoggedData, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    small = (
        "algo.hidden=[8] algo.batch_size=16 algo.steps=4 budget.costly=20 seeds=[0,1] eval.every=10 eval.episodes=2 eval.final_episodes=3"
    )
    where = ("dataset=test/pendulum-v0", "eval.workers=1", "device=cpu", f"results_dir={tmp_path}")
    config = _configured(("algo=cfgrl", *small.split(), *where))
    with pytest.raises(RunError, match="no finished run; train it first"):
        sweep(config, [1.0])
    folder = run(config)
    used: list[list[float]] = []

    def noticing(algo: Any, *rest: Any) -> Any:
        used.append(algo.guidance.tolist())
        return evaluate(algo, *rest)

    monkeypatch.setattr("bench.replay.evaluate.evaluate", noticing)
    lines = sweep(config, [1.5, 0.0]).splitlines()
    assert used == [[1.5, 1.5], [0.0, 0.0]]
    assert [line.split("|")[1].strip() for line in lines] == ["guidance", "---", "1.5", "0"]
    with open(folder.path / "guidance.csv", newline="") as f:
        swept = list(csv.DictReader(f))
    with open(folder.path / "episodes.csv", newline="") as f:
        final = [row for row in csv.DictReader(f) if row["update"] == "20"]
    assert len(final) == 6
    assert [{k: v for k, v in row.items() if k != "guidance"} for row in swept if row["guidance"] == "1.5"] == final
    assert len(swept) == 12
    assert RunDir(config, pendulum.trajectories.digest, "cpu").finished


def test_only_cfgrl_is_guided() -> None:
    with pytest.raises(ConfigError, match=r"^algo = iql: only cfgrl is guided$"):
        sweep(_configured(("algo=iql",)), [1.0])


@pytest.mark.parametrize("text", ["1,a", "", "-1", "1,inf"])
def test_weights_that_cannot_be_used(text: str) -> None:
    with pytest.raises(ConfigError, match=r"^guidance weights '.*': expected weights and a run's overrides"):
        parse(text)
