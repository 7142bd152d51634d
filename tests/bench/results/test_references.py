"""The footnote on the standard errors of reference returns."""

from __future__ import annotations

from pathlib import Path

from bench.report.tables import table_of
from bench.results.grid import grids
from bench.results.references import reference_notes
from bench.results.runs import suite_runs
from tests.helpers.suites import make_run

MEASURED = {"name": "iwsft-2", "random": 10.0, "expert": 1010.0, "random_error": 2.0, "expert_error": 15.0}


def test_the_errors_of_measured_references_are_stated_below_the_table(tmp_path: Path) -> None:
    make_run(tmp_path, "bc", "iwsft/hopper/medium-v0", reference=MEASURED)
    make_run(tmp_path, "sft", "iwsft/hopper/medium-v0", reference=MEASURED)
    (table,) = map(table_of, grids(suite_runs(tmp_path)))
    (note,) = [note for note in table.notes if note.startswith("Reference returns")]
    assert note.endswith("in points at score 0 and at score 100: iwsft/hopper/medium-v0 0.2 and 1.5.")


def test_references_without_errors_have_no_footnote() -> None:
    record = {
        "dataset": "D4RL/x-v0",
        "environment": {"spec": '{"id": "Hopper-v5"}'},
        "reference": {"name": "d4rl", "random": 0, "expert": 1},
    }
    exact = record | {"reference": MEASURED | {"random_error": None, "expert_error": None}}
    assert reference_notes([record, exact, record | {"reference": None}]) == []
    assert "Hopper-v5 0.2 and 1.5" in reference_notes([record | {"reference": MEASURED}])[0]
