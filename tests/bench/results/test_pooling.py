"""Seeds run in portions are one result."""

from __future__ import annotations

import shutil
from pathlib import Path

import pandas as pd
import pytest

from bench.results.grid import grids
from bench.results.leaderboard import board_of
from bench.results.names import method_names
from bench.results.pooling import metrics_of, pooled
from bench.results.runs import suite_runs
from tests.helpers.suites import make_run


def test_portions_of_seeds_are_one_column(tmp_path: Path) -> None:
    for seeds in ([0, 1], [2]):
        make_run(tmp_path, "bc", seeds=seeds)
    runs = suite_runs(tmp_path)
    assert method_names([record for record, _ in runs]) == ["bc", "bc"]
    (grid,) = grids(runs)
    assert (grid.methods, grid.seeds) == (["bc"], 3)
    apart = {seed: v for record, rows in runs for seed, v in rows[rows["update"] == 200].groupby("seed")["return"].mean().items()}
    assert grid.values["iwsft/hopper/medium-v0", "bc"].to_dict() == pytest.approx({s: v / 10 for s, v in apart.items()})
    board = board_of(tmp_path, runs)
    assert set(board["seeds"]) == {"0 1 2"}
    assert set(board["wall_time_s"]) == {25.0}
    assert set(board["configs_tried"]) == {1}
    (record, _), *rest = pooled(runs)
    assert rest == []
    assert set(record["config_hash"].split()) == {r["config_hash"] for r, _ in runs}
    metrics = metrics_of(record)
    assert metrics is not None
    assert set(zip(metrics["update"], metrics["seed"], strict=True)) == {(u, s) for u in (100, 200) for s in range(3)}


@pytest.mark.parametrize("chosen", [0, 1])
def test_portions_of_which_one_was_chosen_are_a_chosen_result(tmp_path: Path, chosen: int) -> None:
    for seeds in ([0, 1], [2]):
        make_run(tmp_path, "bc", seeds=seeds)
    runs = suite_runs(tmp_path)
    assert set(board_of(tmp_path, runs)["chosen_by"]) == {"none"}
    runs[chosen][0]["chosen_by"] = "fqe"
    assert set(board_of(tmp_path, runs)["chosen_by"]) == {"fqe"}


def test_a_seed_of_two_portions_counts_once(tmp_path: Path) -> None:
    """The run with the most seeds has it."""
    make_run(tmp_path, "bc", seeds=[0, 1, 2], level=300.0)
    make_run(tmp_path, "bc", seeds=[2, 3], level=900.0)
    ((record, episodes),) = pooled(suite_runs(tmp_path))
    assert record["seeds"] == [0, 1, 2, 3]
    means = episodes[episodes["update"] == 200].groupby("seed")["return"].mean()
    assert means[2] < 500 < means[3]
    assert not episodes.duplicated(["update", "seed", "episode"]).any()


def test_a_copy_of_a_run_directory_changes_nothing(tmp_path: Path) -> None:
    folder = make_run(tmp_path, "bc")
    before = board_of(tmp_path, suite_runs(tmp_path))
    shutil.copytree(folder, folder.with_name(f"{folder.name}.bak"))
    pd.testing.assert_frame_equal(board_of(tmp_path, suite_runs(tmp_path)), before)


@pytest.mark.parametrize("difference", [{"final_episodes": 6}, {"reference": None}, {"last_k": 1}, {"dataset_digest": "b"}])
def test_runs_that_differ_in_more_than_seeds_are_not_pooled(tmp_path: Path, difference: dict) -> None:
    make_run(tmp_path, "bc", seeds=[0, 1], method_hash="a")
    make_run(tmp_path, "bc", seeds=[2], **({"method_hash": "a"} | difference))
    assert len(pooled(suite_runs(tmp_path))) == 2


@pytest.mark.parametrize("stated", [None, "a"])
def test_config_yaml_tells_portions_of_another_version_whose_hashes_cannot_be_computed(tmp_path: Path, stated: str | None) -> None:
    for seeds, temperature in (([0, 1], 1.0), ([2], 1.0), ([2], 3.0)):
        make_run(tmp_path, "iw_sft", seeds=seeds, temperature=temperature, method_hash=stated)
    (grid,) = grids(suite_runs(tmp_path))
    assert {m: len(grid.values["iwsft/hopper/medium-v0", m]) for m in grid.methods} == {
        "iw_sft temperature=1.0": 3, "iw_sft temperature=3.0": 1,
    }  # fmt: skip
