"""Reading of finished runs: missing, repeated and unreadable rows are named."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from bench.errors import RunError
from bench.results.runs import runs_at, suite_runs
from tests.helpers.suites import make_run, make_suite


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda rows: [*rows, rows[0]], "line 20: repeats update 100, seed 0, episode 0"),
        (lambda rows: rows[:-1], "seed 2 has 3 of 4 final episodes"),
        (lambda rows: rows[:6], "no episode after update 200"),
        (lambda rows: [*rows[:-1], rows[-1] | {"return": "much"}], "cannot be read"),
    ],
)
def test_missing_and_repeated_rows_are_named(tmp_path: Path, change: Any, message: str) -> None:
    make_run(tmp_path, change=change)
    with pytest.raises(RunError, match=message):
        suite_runs(tmp_path)


def test_only_finished_runs_are_read(tmp_path: Path) -> None:
    make_run(tmp_path, "bc")
    make_run(tmp_path, "sft", status="running")
    assert [record["algo"] for record, _ in suite_runs(tmp_path)] == ["bc"]


def test_a_suite_without_finished_runs_is_refused(tmp_path: Path) -> None:
    make_run(tmp_path, status="running")
    with pytest.raises(RunError, match="no finished run"):
        suite_runs(tmp_path)


@pytest.mark.parametrize("content", ["{", "[]", "{}"])
def test_a_damaged_record_is_named(tmp_path: Path, content: str) -> None:
    (make_run(tmp_path) / "run.json").write_text(content)
    with pytest.raises(RunError, match=r"cannot be read \(.*; remove it and run again"):
        suite_runs(tmp_path)


def test_a_path_is_a_run_or_a_suite(tmp_path: Path) -> None:
    suite = make_suite(tmp_path / "suite")
    assert len(runs_at(suite)) == 6
    assert len(runs_at(next((suite / "runs").iterdir()))) == 1
    with pytest.raises(RunError, match="neither a run directory"):
        runs_at(tmp_path / "missing")
    with pytest.raises(RunError, match="is not finished"):
        runs_at(make_run(tmp_path / "other", status="running"))
