"""Grids of comparable runs: names of methods, order, domains."""

from __future__ import annotations

from pathlib import Path

import pytest

from bench.results.grid import domain_of, grids, in_order, settings_by_dataset
from bench.results.runs import suite_runs
from tests.helpers.suites import make_run


def test_settings_of_one_data_set_each_are_one_method(tmp_path: Path) -> None:
    """A method with settings by data set appears in aggregates; configurations that meet on a data set have different names."""
    for dataset, temperature in (("hopper", 1.0), ("walker2d", 3.0)):
        make_run(tmp_path, "iw_sft", f"iwsft/{dataset}/medium-v0", temperature=temperature)
    runs = suite_runs(tmp_path)
    (grid,) = grids(runs)
    assert grid.methods == grid.complete(grid.datasets) == ["iw_sft"]
    line = "iw_sft: settings that differ between data sets: algo.weighting.temperature."
    assert settings_by_dataset([record for record, _ in runs]) == [line]
    make_run(tmp_path, "iw_sft", "iwsft/hopper/medium-v0", temperature=3.0)
    runs = suite_runs(tmp_path)
    (grid,) = grids(runs)
    assert grid.methods == ["iw_sft temperature=1.0", "iw_sft temperature=3.0"]
    assert settings_by_dataset([record for record, _ in runs]) == []


def test_configurations_without_a_differing_setting_carry_their_hash(tmp_path: Path) -> None:
    for code in ("abc", "def"):
        make_run(tmp_path, "bc", code_revision=code)
    runs = suite_runs(tmp_path)
    (grid,) = grids(runs)
    assert grid.methods == sorted(f"bc {record['config_hash'][:4]}" for record, _ in runs)


def test_order_of_methods() -> None:
    assert in_order(["iw_sft b=10.0", "iw_sft b=3.0"]) == ["iw_sft b=3.0", "iw_sft b=10.0"]
    assert in_order(["zeta", "iw_sft b=1", "iql", "iw_sft", "bc", "iql"]) == ["bc", "iw_sft", "iw_sft b=1", "iql", "zeta"]


@pytest.mark.parametrize(
    ("dataset", "domain"),
    [("D4RL/antmaze/umaze-v1", "maze"), ("mujoco/ant/expert-v0", "locomotion"), ("D4RL/pen/human-v2", "adroit"), ("own/robot-v0", "own")],
)
def test_domain(dataset: str, domain: str) -> None:
    assert domain_of(dataset) == domain
