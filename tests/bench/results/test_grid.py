"""Grids of comparable runs: names of methods, order, domains."""

from __future__ import annotations

from pathlib import Path

import pytest

from bench.results.grid import domain_of, grids
from bench.results.names import in_order, settings_by_dataset
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
    for end in ("abc", "def"):  # of digests of data whose first characters, which names show, are equal
        make_run(tmp_path, "bc", dataset_digest="0" * 8 + end)
    runs = suite_runs(tmp_path)
    (grid,) = grids(runs)
    assert sorted(grid.methods) == sorted(f"bc {record['config_hash'][:4]}" for record, _ in runs)


def test_hashes_that_share_their_first_characters_are_different_rows(tmp_path: Path) -> None:
    """A name has as many characters of a hash as tell the configurations apart."""
    for name in ("abcd1234", "abcd1299", "ffff0000"):
        make_run(tmp_path, "bc", config_hash=name, dataset_digest="0" * 8 + name, level=100.0 + int(name[-1]))
    (grid,) = grids(suite_runs(tmp_path))
    assert grid.methods == ["bc abcd123", "bc abcd129", "bc ffff000"]
    assert len(grid.values) == 3
    assert {grid.records[key]["config_hash"][:7] for key in grid.values} == {"abcd123", "abcd129", "ffff000"}


@pytest.mark.parametrize(("key", "first", "second"), [("precision", "float32", "bf16"), ("device", "cpu", "a GPU")])
def test_a_property_of_the_run_tells_configurations_apart(tmp_path: Path, key: str, first: str, second: str) -> None:
    for value in (first, second):
        make_run(tmp_path, "bc", **{key: value})
    (grid,) = grids(suite_runs(tmp_path))
    assert set(grid.methods) == {f"bc {key}={first}", f"bc {key}={second}"}


def test_a_run_without_references_beside_one_with_them(tmp_path: Path) -> None:
    """Scores and raw returns never share a row; raw returns of all runs do."""
    make_run(tmp_path, "bc", level=300.0)
    make_run(tmp_path, "sft", level=500.0, reference=None)
    (grid,) = grids(suite_runs(tmp_path))
    assert list(grid.values) == [("iwsft/hopper/medium-v0", "bc")]
    assert grid.values["iwsft/hopper/medium-v0", "bc"].mean() == pytest.approx(32, abs=1)
    raw = {m: grid.in_returns().values["iwsft/hopper/medium-v0", m].mean() for m in grid.methods}
    assert raw == {"bc": pytest.approx(320, abs=10), "sft": pytest.approx(520, abs=10)}


def test_order_of_methods() -> None:
    assert in_order(["iw_sft b=10.0", "iw_sft b=3.0"]) == ["iw_sft b=3.0", "iw_sft b=10.0"]
    assert in_order(["zeta", "iw_sft b=1", "iql", "iw_sft", "bc", "iql"]) == ["bc", "iw_sft", "iw_sft b=1", "iql", "zeta"]


@pytest.mark.parametrize(
    ("dataset", "domain"),
    [("D4RL/antmaze/umaze-v1", "maze"), ("mujoco/ant/expert-v0", "locomotion"), ("D4RL/pen/human-v2", "adroit"), ("own/robot-v0", "own")],
)
def test_domain(dataset: str, domain: str) -> None:
    assert domain_of(dataset) == domain
