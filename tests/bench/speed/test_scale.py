"""Curves vary one quantity at a time; the estimate follows from them; data are resized by whole episodes."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch

from bench.errors import RunError
from bench.speed.estimate import estimate, write_estimate
from bench.speed.options import ScaleOptions, parse
from bench.speed.rows import write_csv
from bench.speed.scale import COLUMNS, curves
from bench.speed.workload import resized
from envs.data.trajectories import Trajectories


def test_curves_vary_one_quantity_at_a_time() -> None:
    options = parse(ScaleOptions, ["members=[1,8]", "batches=[64]", "widths=[32]", "steps=[1000]", "methods=[bc,iql]", "device=cpu"])
    found = {(name, x): what for name, x, what in curves(options)}
    base = found["members", 8]
    assert replace(found["members", 1], members=8) == base == replace(found["batch", 64], batch=256, members=8)
    assert found["width", 32].hidden == (32, 32)
    assert found["steps", 1000].steps == 1000
    assert found["method", "bc"].hidden == (256, 256, 256)
    assert found["method", "iql"].members == 10


def test_resized_data_are_whole_episodes(data: Trajectories) -> None:
    for steps in (5, data.num_steps, 3 * data.num_steps + 1):
        found = resized(data, steps)
        assert steps <= found.num_steps < steps + int(data.lengths.max())
        assert found.offsets[-1] == found.num_steps == len(found.actions)
        first = min(found.num_episodes, data.num_episodes)
        assert torch.equal(found.lengths[:first], data.lengths[:first])
    torch.testing.assert_close(resized(data, 3 * data.num_steps).returns, data.returns.repeat(3))


def curve(name: str, x: Any, rate: float | None, **more: Any) -> dict[str, Any]:
    machine = {"device": "cpu", "cpu_model": "Abacus", "cores": 2, "threads": 2, "share_of_limit": 0.5, "own_updates": 1_000_000}
    return machine | {"curve": name, "x": x, "member_updates_per_s": rate, "members": 10, "method": "iql"} | more


MADE_UP = [
    curve("members", 1, 50.0, members=1),
    curve("members", 100, 200.0, members=100),
    curve("method", "bc", 1000.0, own_updates=10_000),
    curve("method", "iql", 100.0),
    curve("evaluation", 10, None, env_steps_per_s=10_450.0),
]


def test_the_estimate_follows_from_the_curves(tmp_path: Path) -> None:
    """9 sets x 10 seeds x 1M updates: 90,000 s at 1,000 a second; 2,090,000 environment steps a seed: 200 s at 10,450 a second."""
    write_csv(tmp_path / "scale-cpu.csv", MADE_UP, COLUMNS)
    text = write_estimate(tmp_path).read_text()
    assert "9 data sets x 2 methods x 10 seeds x 1,000,000 updates" in text
    assert "at most 2,090,000 environment steps a seed" in text
    assert "| bc | 1000 | 50% | 2.78 | 1.04 | 10,000 | 0.01 |" in text  # 10,000 s a set; 90,000 s; 900 s
    assert "| iql | 100 | 50% | 27.78 | 10.42 | 1,000,000 | 10.42 |" in text
    # 990,000 s and 9 x 10 x 2 x 200 s; with own updates bc has one evaluation but the last: 9 x 10 x (110,000 + 2,090,000) / 10,450 s
    assert "| 1,000,000 updates each | 11.5 days | 10.0 hours | 11.9 days | 11.5 days |" in text
    assert "| own updates | 10.4 days | 5.3 hours | 10.6 days | 10.4 days |" in text
    assert "10 ms a member's update with 10 members in a process; the least is 5 ms, with 100" in text  # half-way by a power law
    assert "there is no scale-cuda.csv here" in text
    slower = [row | ({"member_updates_per_s": row["member_updates_per_s"] / 2} if row["curve"] == "method" else {}) for row in MADE_UP]
    assert "| bc | 500 | 50% | 5.56 |" in estimate({"cuda": slower, "cpu": None}, tmp_path)


def test_a_curve_file_without_a_column_is_refused(tmp_path: Path) -> None:
    write_csv(tmp_path / "scale-cuda.csv", MADE_UP, ("curve", "x", "device"))
    with pytest.raises(RunError, match=r"scale-cuda.csv: no column cpu_model, .*measure again"):
        write_estimate(tmp_path)
