"""Marks of rows that were not trained long enough, in every format, in legends, on the page and in comparisons."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest

from bench.report.compare import compare_methods
from bench.report.figures.curves import learning_curves
from bench.report.figures.draw import explain_signs
from bench.report.figures.style import looks
from bench.report.page.overview import warnings
from bench.report.render import html, latex, long_csv, markdown
from bench.report.tables import Table, table_of
from bench.report.training_notes import ALL, APART, JOINED, UNJUDGED
from bench.results.grid import grids
from bench.results.pooling import pooled
from bench.results.runs import suite_runs
from tests.helpers.suites import make_run

HOPPER, WALKER = "iwsft/hopper/medium-v0", "iwsft/walker2d/medium-v0"


@pytest.fixture
def suite(tmp_path: Path) -> Path:
    """bc is level, sft rises on Hopper, iql had few updates and has too short a curve."""
    for algo, few in (("bc", {}), ("sft", {}), ("iql", {"default_updates": 1000, "eval_every": 100})):
        for dataset in (HOPPER, WALKER):

            def change(rows: list[dict[str, Any]], rises: bool = (algo, dataset) == ("sft", HOPPER)) -> list[dict[str, Any]]:
                return [r | {"return": 500.0 + 10 * r["seed"] + rises * r["update"]} for r in rows]

            make_run(tmp_path, algo, dataset, change=change, **{"eval_every": 10, **few})
    return tmp_path


def only_table(suite: Path, mix_marked: bool = False) -> Table:
    (table,) = map(table_of, grids(suite_runs(suite), mix_marked=mix_marked))
    return table


def test_cells_carry_marks_and_mixed_averages_are_left_out(suite: Path) -> None:
    table = only_table(suite)
    hopper, walker, mean, iqm = table.lines
    assert {m: c.training for m, c in hopper.cells.items()} == {"bc": (), "sft": ("rises",), "iql": ("few updates",)}
    assert {m: c.training for m, c in walker.cells.items()} == {"bc": (), "sft": (), "iql": ("few updates",)}
    assert {m: c.signs for m, c in mean.cells.items()} == {"bc": "", "iql": "†"} == {m: c.signs for m, c in iqm.cells.items()}
    assert [m for m, c in hopper.cells.items() if c.bold or c.tied] == ["bc"]
    assert [m for m, c in mean.cells.items() if c.bold or c.tied] == ["bc"]


def test_footnotes_name_the_rows(suite: Path) -> None:
    rises, few, apart, unjudged, *_ = only_table(suite).notes
    assert rises.startswith("‡ rises: ")
    assert rises.endswith(f": sft on {HOPPER}.")
    assert few.startswith("† few updates: fewer than the paper's")
    assert few.endswith(": iql.")
    assert (apart, unjudged) == (APART, f"{UNJUDGED}iql.")


def test_asked_for_marked_rows_are_averaged_and_ranked_with_the_others(suite: Path) -> None:
    table = only_table(suite, mix_marked=True)
    assert {m: c.signs for m, c in table.lines[2].cells.items()} == {"bc": "", "sft": "‡", "iql": "†"}
    assert [m for m, c in table.lines[0].cells.items() if c.bold] == ["sft"]
    assert JOINED in table.notes
    assert APART not in table.notes


def test_all_rows_marked(tmp_path: Path) -> None:
    for algo in ("bc", "iql"):
        make_run(tmp_path, algo, default_updates=1000)
    table = only_table(tmp_path)
    assert ALL in table.notes
    assert sum(c.bold for c in table.lines[0].cells.values()) == 1


def test_every_format_has_marks_and_footnotes(suite: Path) -> None:
    table = only_table(suite)
    assert re.search(r"\| [\d.]+ \+- [\d.]+ †", markdown(table))
    assert '<sup class="sign" title="few updates">†</sup>' in html(table)
    assert r"\textsuperscript{\dag{}}" in latex([table])
    assert ",few updates\n" in long_csv([table])
    for text in (markdown(table), html(table), latex([table])):
        assert "‡ rises: the last quarter" in text


def test_legends_and_the_page_have_marks(suite: Path) -> None:
    runs = suite_runs(suite)
    grid = grids(runs)[0]
    figures = learning_curves(grid, looks(grid.methods))
    (hopper,) = (figure for name, figure in figures.items() if "hopper" in name)
    assert [text.get_text() for text in hopper.legends[0].get_texts()] == ["bc", "sft ‡", "iql †"]
    explain_signs(hopper)
    assert hopper.get_suptitle() == "† fewer updates than the paper's   ‡ still rises at its last update"
    found = warnings(suite, runs, pooled(runs))
    assert f"sft on {HOPPER}: still rises after 200 updates" in found
    assert "fewer updates than the papers': iql" in found


@pytest.mark.parametrize(("portions", "expected"), [([[0], [1]], "still rises after"), ([[0]], "one seed have no interval")])
def test_warnings_are_about_pooled_seeds(portions: list[list[int]], expected: str, tmp_path: Path) -> None:
    """Two portions of one seed each have an interval, and can be judged."""
    for seeds in portions:
        make_run(tmp_path, "sft", seeds=seeds, eval_every=10, change=lambda rows: [r | {"return": 500.0 + r["update"]} for r in rows])
    runs = suite_runs(tmp_path)
    (found,) = warnings(tmp_path, runs, pooled(runs))
    assert expected in found


def test_a_comparison_states_marks_and_has_no_mean_over_marked_and_unmarked_rows(suite: Path) -> None:
    text = compare_methods(suite, ["bc", "sft"])
    assert f"Not trained long enough (docs/statistics.md): B on {HOPPER}: rises. No mean over the data sets" in text
    assert "mean over 2 data sets" not in text
    assert "mean over 2 data sets" in compare_methods(suite, ["bc", "sft"], mix_marked=True)
    assert "mean over 2 data sets" in compare_methods(suite, ["bc", "iql"])
    assert "## bc" not in compare_methods(suite)  # the best of the unmarked methods is what the others are compared with
    assert "against bc" in compare_methods(suite)
