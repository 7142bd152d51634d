"""costs.md: the cost of each method, seconds by phase, and the yardstick."""

from __future__ import annotations

from pathlib import Path

import pytest

from bench.report.costs import PHASES_NOTE, YARDSTICK, costs_md, costs_of, kept_yardstick, phase_rows
from bench.report.suite import rebuild
from bench.results.runs import suite_runs
from tests.helpers.suites import make_run

SECONDS = {"set_up": 1.0, "training": 6.0, "evaluation": 2.0, "saving": 1.0}


def test_costs(tmp_path: Path) -> None:
    for algo, dataset, wall, last in (("iql", "a/x-v0", 30.0, 5.0), ("iql", "a/y-v0", 50.0, 3.0), ("bc", "a/x-v0", 10.0, 4.5)):
        make_run(
            tmp_path, algo, dataset, [0, 1], change=lambda rows, last=last: [r | {"return": last} for r in rows],
            wall_time_s=wall, data_return_mean=4.0, parameters=1500, updates=200,
        )  # fmt: skip
    assert costs_of(suite_runs(tmp_path))[1:] == [["bc", "1,500", "200", "5", "1 of 1"], ["iql", "1,500", "200", "20", "1 of 2"]]


def test_phases_are_summed_over_runs_and_have_shares(tmp_path: Path) -> None:
    make_run(tmp_path, "bc", seconds={"import": 5.0, "recording": 5.0, **SECONDS})
    make_run(tmp_path, "sft", seconds=SECONDS)
    text = costs_md(suite_runs(tmp_path), {"tables": 4.0, "figures": 5.0, "page": 1.0})
    assert PHASES_NOTE in text
    rows = {row.split(" | ")[0].strip("| "): row.split(" | ")[1:3] for row in text.splitlines() if row.startswith("| ")}
    assert rows["import"] == ["5.0", "12%"]
    assert rows["training"] == ["12.0", "30%"]
    assert rows["set-up"] == ["2.0", "5%"]
    assert rows["all"][0] == "40.0"
    assert list(rows)[-10:] == ["import", "recording", "set-up", "training", "evaluation", "saving", "tables", "figures", "page", "all"]


def test_portions_of_seeds_count_once_each(tmp_path: Path) -> None:
    make_run(tmp_path, "bc", seeds=[0], seconds=SECONDS)
    make_run(tmp_path, "bc", seeds=[1], seconds=SECONDS)
    assert "| training | 12.0 |" in costs_md(suite_runs(tmp_path), {})


def test_runs_of_an_earlier_version_have_no_phases(tmp_path: Path) -> None:
    make_run(tmp_path, "bc")
    assert PHASES_NOTE not in costs_md(suite_runs(tmp_path), {"tables": 1.0})
    assert phase_rows({})[-1][1] == "0.0"


def test_a_yardstick_is_kept_until_the_next_one(tmp_path: Path) -> None:
    make_run(tmp_path, "bc")
    assert kept_yardstick(tmp_path) == ""
    rebuild(tmp_path, page=False)
    assert YARDSTICK not in (tmp_path / "costs.md").read_text()
    rebuild(tmp_path, page=False, yardstick=f"{YARDSTICK}100 member-updates/s")
    rebuild(tmp_path, page=False)
    assert kept_yardstick(tmp_path) == f"{YARDSTICK}100 member-updates/s"
    rebuild(tmp_path, page=False, yardstick=f"{YARDSTICK}200 member-updates/s")
    assert kept_yardstick(tmp_path) == f"{YARDSTICK}200 member-updates/s"


def test_a_measured_yardstick_states_both_rates_and_the_machine(monkeypatch: pytest.MonkeyPatch) -> None:
    from bench.speed import reading

    monkeypatch.setattr(reading, "SECONDS", 0.02)
    line = reading.yardstick_line()
    assert line.startswith(YARDSTICK)
    assert "member-updates/s of BC, " in line
    assert "mj_step/s of HalfCheetah-v5, on one core; " in line
    assert not any(word in line for word in (" 0 member", " 0 mj_step", "nan"))
