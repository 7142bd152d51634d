"""`python -m bench speed online`: a row for the loop and for each number of members, each with its rates; one line for mistakes."""

from __future__ import annotations

from pathlib import Path

import gymnasium
import numpy as np
import pytest

from bench.cli import run
from bench.errors import EXIT_MISTAKE
from bench.speed.online import COLUMNS, measure_online, table
from bench.speed.options import OnlineOptions, parse
from tests.helpers.logged import episode, write

TINY = ["dataset=iwsft/fork-v0", "hidden=[8]", "batch=16", "members=[1,2]", "rounds=1", "seconds=0.05", "threads=1", "updates=2"]


@pytest.mark.parametrize("method", ["iql", "td3_bc"])
def test_rates_of_the_loop_and_of_members(method: str) -> None:
    rows = measure_online(parse(OnlineOptions, [*TINY, f"methods=[{method}]"]), lambda line: None)
    assert [(r["kind"], r["members"]) for r in rows] == [("loop", 1), ("suite", 1), ("suite", 2)]
    assert all(set(r) == set(COLUMNS) for r in rows)
    for row in rows:
        assert row["steps_per_s_member"] > 0
        assert row["updates_per_s_member"] == pytest.approx(2 * row["steps_per_s_member"])
        assert row["member_steps_per_s"] == pytest.approx(row["members"] * row["steps_per_s_member"])
    assert rows[0]["x_loop"] == 1
    assert len(table(rows).splitlines()) == 5


def test_a_wrong_method_is_one_line(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["speed", "online", "methods=[bc]", f"out={tmp_path}"]) == EXIT_MISTAKE
    assert capsys.readouterr().err == "error: methods = ['bc']: expected some of iql, td3_bc\n"


def test_data_without_an_environment_are_one_line(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("MINARI_DATASETS_PATH", str(tmp_path / "minari"))
    bounds = gymnasium.spaces.Box(-2, 2, (1,))
    write(
        "test/none-v0",
        [episode(np.random.default_rng(0), 5)],
        env=None,
        observation_space=gymnasium.spaces.Box(-9, 9, (3,)),
        action_space=bounds,
    )
    assert run(["speed", "online", "dataset=test/none-v0", f"out={tmp_path / 'out'}"]) == EXIT_MISTAKE
    assert "error: dataset = test/none-v0: it names no environment to act in; " in capsys.readouterr().err
    assert not (tmp_path / "out").exists()
