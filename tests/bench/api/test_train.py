"""bench.train and bench.evaluate train and evaluate the same runs as the command."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

import bench
from algos.errors import ConfigError
from envs.errors import DataError
from tests.helpers.cli import bench as command
from tests.helpers.episodes import PENDULUM


def test_the_command_finds_the_run_finished(run: bench.Run, workplace: Path) -> None:
    """The same settings name the same run directory, from Python and from the command line."""
    keys = ["algo.hidden=[8]", "algo.updates=40", "algo.warmup=0.1", "pi_ref.updates=20", "seeds=[3,1]", "device=cpu"]
    evaluation = ["eval.every=20", "eval.episodes=2", "eval.final_episodes=4", "eval.workers=1"]
    done = command(workplace, "algo=iw_sft_q", f"dataset={PENDULUM}", *keys, *evaluation)
    assert "finished before" in done.stderr
    assert str(run.path) in done.stderr
    assert [p.name for p in (workplace / "results" / "single" / "runs").iterdir()] == [run.path.name]


def test_dotted_and_nested_settings_are_equal(run: bench.Run, small_keys: dict[str, Any]) -> None:
    settings = {"hidden": [8], "updates": 40, "warmup": 0.1}
    one, two = (
        bench.train("iw_sft_q", PENDULUM, [3, 1], settings=settings | own, **small_keys)
        for own in ({"weighting.temperature": 3.0}, {"weighting": {"temperature": 3.0}})
    )
    assert one.path == two.path != run.path
    assert one.config["algo"]["weighting"]["temperature"] == 3.0


def test_evaluation_repeats_recorded_episodes_and_adds_more(run: bench.Run) -> None:
    again = bench.evaluate(run, episodes=6, workers=1)
    assert list(again) == ["seed", "episode", "return", "length", "score"]
    assert len(again) == 2 * 6
    final = run.episodes[run.episodes["update"] == 40].sort_values(["seed", "episode"])
    same = again[again["episode"] < 4].sort_values(["seed", "episode"])
    np.testing.assert_allclose(same["return"].to_numpy(), final["return"].to_numpy())
    np.testing.assert_allclose(again["score"], (again["return"] - 5) / 995 * 100)


@pytest.mark.parametrize(
    ("keys", "kind", "line"),
    [
        ({"algo": "iw_stf"}, ConfigError, "algo=iw_stf: no such algo; near names: iw_sft"),
        ({"settings": {"temperatur": 3}}, ConfigError, "algo.temperatur"),
        ({"eval": {"evry": 3}}, ConfigError, "unknown key 'eval.evry'; near names: eval.every"),
        ({"settings": {"updates": 0}}, ConfigError, "algo.updates = 0: expected a positive number"),
        ({"seeds": [1, 1]}, ConfigError, "seeds = [1, 1]: expected each seed once"),
        ({"dataset": "test/nowhere-v0"}, DataError, "test/nowhere-v0"),
        ({"population": {"temperature": [1, 3]}}, ConfigError, "population"),
    ],
)
def test_mistakes_are_one_line(workplace: Path, keys: dict[str, Any], kind: type[Exception], line: str) -> None:
    before = sorted(workplace.rglob("*"))
    with pytest.raises(kind) as caught:
        bench.train(**{"dataset": PENDULUM, **keys})
    assert line in str(caught.value)
    assert "\n" not in str(caught.value)
    assert sorted(workplace.rglob("*")) == before
