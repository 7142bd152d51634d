"""Renderers: one table as Markdown, LaTeX, CSV and HTML."""

from __future__ import annotations

import io
import re

import pandas as pd
import pytest

from bench.report.render import aligned, html, latex, long_csv, markdown, markdown_rows
from bench.report.tables import NAN, Cell, Line, Table

SMALL = Table(
    "Caption <1>.",
    ["bc", "iw_sft temperature=3.0"],
    [
        Line("data set", "a/x-v0", "mean", {"bc": Cell(10.04, 1.26, 8.78, 11.3, 0.9, 3, flag="2 of 3 seeds")}),
        Line("data set", "a/y-v0", "mean return", {"bc": Cell(1234.5, 20.2), "iw_sft temperature=3.0": Cell(NAN)}),
        Line("overall", "overall", "iqm", {"iw_sft temperature=3.0": Cell(50.0, 2.0, 48.5, 52.5, bold=True)}),
    ],
    ["A note & more."],
    "last",
    "iwsft",
)


def wide(methods: int, datasets: int) -> Table:
    """A table whose cell of method m and data set d has the value m + d / 10."""
    names = [f"m{m}" for m in range(methods)]
    lines = [
        Line("data set", f"iwsft/set{d}/both-long-v0", "mean", {f"m{m}": Cell(m + d / 10) for m in range(methods)}) for d in range(datasets)
    ]
    return Table("", names, lines)


def test_markdown() -> None:
    assert markdown(SMALL).splitlines() == [
        "Caption <1>.",
        "",
        "| data set | bc | iw_sft temperature=3.0 |",
        "| --- | ---: | ---: |",
        "| a/x-v0 | 10.0 +- 1.3 (2 of 3 seeds) |  |",
        "| a/y-v0 (raw return) | 1234 +- 20 | failed |",
        "| overall (IQM) |  | **50.0** +- 2.0 |",
        "",
        "A note & more.",
    ]


@pytest.mark.parametrize(
    ("value", "half", "text"),
    [(1234.5, 20.2, "1234 +- 20"), (45.67, 3.21, "45.7 +- 3.2"), (0.4125, 0.0312, "0.412 +- 0.031"), (0.02, 45.0, "0.0 +- 45.0"),
     (0.00123, NAN, "0.00123"), (0.0, 0.0, "0.0 +- 0.0"), (-7.125, 0.5, "-7.12 +- 0.50")],
)  # fmt: skip
def test_raw_returns_have_three_significant_digits(value: float, half: float, text: str) -> None:
    table = SMALL._replace(lines=[Line("data set", "a", "mean return", {"bc": Cell(value, half)})])
    assert f"| a (raw return) | {text} |" in markdown(table)
    assert "$" + text.replace("+-", r"\pm") + "$" in latex([table])
    assert text.split()[0] in html(table)


def test_a_cell_not_told_apart_from_the_best_has_a_sign_of_its_own() -> None:
    cells = {"bc": Cell(10.0, 1.0, tied=True, flag="2 of 3 seeds"), "iw_sft temperature=3.0": Cell(11.0, 1.0, bold=True)}
    table = SMALL._replace(lines=[Line("data set", "a", "mean", cells)])
    assert "| a | 10.0 +- 1.0 (=; 2 of 3 seeds) | **11.0** +- 1.0 |" in markdown(table)
    assert r"a & $10.0 \pm 1.0^{=}$\textsuperscript{2 of 3 seeds} & $\mathbf{11.0} \pm 1.0$" in latex([table])
    assert html(table).count('class="tied"') == 1
    rows = pd.read_csv(io.StringIO(long_csv([table])))
    assert (list(rows["bold"]), list(rows["tied"])) == ([0, 1], [1, 0])


def test_pipes_and_line_breaks_stay_in_their_cell() -> None:
    name = "a/x-v0@episodes:1|4"
    table = SMALL._replace(lines=[Line("data set", name, "mean", {"bc": Cell(1.0)})], methods=["bc", "x\ny"])
    head, rule, row = markdown(table).splitlines()[2:5]
    assert head == "| data set | bc | x y |"
    assert row == r"| a/x-v0@episodes:1\|4 | 1.0 |  |"
    assert len(re.findall(r"(?<!\\)\|", row)) == len(re.findall(r"\|", rule)) == 4
    assert r"@episodes:1\textbar{}4 & $1.0$" in latex([table])


def test_latex() -> None:
    text = latex([SMALL, SMALL])
    assert text.count(r"\toprule") == 2
    assert "% Caption <1>.\n% A note & more.\n" in text
    for line in (
        r"Data set & bc & iw\_sft temperature=3.0 \\",
        r"a/x-v0 & $10.0 \pm 1.3$\textsuperscript{2 of 3 seeds} & -- \\",
        r"a/y-v0 (raw return) & $1234 \pm 20$ & failed \\",
        r"overall (IQM) & -- & $\mathbf{50.0} \pm 2.0$ \\",
    ):
        assert line in text.splitlines()


def test_a_caption_stays_in_its_comment() -> None:
    text = latex([SMALL._replace(caption="one\n\\input{x}")])
    assert all(line.startswith("%") for line in text.splitlines() if "input" in line)


def test_html_is_escaped() -> None:
    text = html(SMALL._replace(methods=["bc", "iw_sft temperature=3.0", "<b>"]))
    assert "<p>Caption &lt;1&gt;.</p>" in text
    assert "&lt;b&gt;" in text
    assert "<b>50.0</b> <small>&plusmn; 2.0</small>" in text
    assert '<small class="flag">2 of 3 seeds</small>' in text
    assert '<p class="note">A note &amp; more.</p>' in text


def test_csv_has_every_number() -> None:
    rows = pd.read_csv(io.StringIO(long_csv([SMALL])))
    assert len(rows) == 4
    first = rows.iloc[0]
    assert (first["algo"], first["value"], first["ci_low"], first["ci_high"], first["flags"]) == ("bc", 10.04, 8.78, 11.3, "2 of 3 seeds")
    assert first["standard_error"] == pytest.approx(0.9 / 3**0.5, rel=1e-5)
    assert list(rows["bold"]) == [0, 0, 0, 1]
    assert set(rows["selection"] + rows["reference"]) == {"lastiwsft"}


@pytest.mark.parametrize(("methods", "datasets", "corner"), [(9, 2, "data set"), (10, 2, "method"), (10, 10, "data set")])
def test_many_methods_become_rows_on_a_screen(methods: int, datasets: int, corner: str) -> None:
    table = wide(methods, datasets)
    head, _, *rows = [line.strip("| ").split(" | ") for line in markdown(table).splitlines()[2:]]
    assert head[0] == corner
    assert rows[1][1] == ("1.0" if corner == "method" else "0.1")
    assert rows[1][0] == ("m1" if corner == "method" else "iwsft/set1/both-long-v0")
    assert f'<th><span class="id">{corner}</span></th>' in html(table)
    assert len(rows) == (methods if corner == "method" else datasets)


def test_many_methods_become_rows_on_paper() -> None:
    """More than five methods are rows, under at most six columns a table, and the numbers are those of the lines."""
    text = latex([wide(10, 8)])
    heads = [line for line in text.splitlines() if line.startswith("Method")]
    assert [line.count(r"\begin{tabular}") for line in heads] == [4, 4]
    assert r"iwsft/set0/\\both-long-v0" in heads[0]
    pieces = [part.split(r"\midrule")[1].strip().splitlines() for part in text.split(r"\bottomrule")[:2]]
    for k, piece in enumerate(pieces):
        for m, row in enumerate(piece):
            assert re.findall(r"\$([\d.]+)\$", row) == [f"{m + (4 * k + d) / 10:.1f}" for d in range(4)]


def test_a_method_without_results_in_a_piece_has_no_row_there() -> None:
    table = wide(6, 7)
    for line in table.lines[:4]:
        line.cells.pop("m0")  # type: ignore[attr-defined]
    pieces = [part.split(r"\midrule")[1].strip().splitlines() for part in latex([table]).split(r"\bottomrule")[:2]]
    assert [len(piece) for piece in pieces] == [5, 6]


def test_markdown_rows() -> None:
    assert markdown_rows([["a", "b"], ["1", "2"]]) == ["| a | b |", "| --- | ---: |", "| 1 | 2 |"]


def test_columns_are_aligned_for_a_terminal() -> None:
    rows = markdown_rows([["name", "x"], ["a|b", "1.0"], ["c", "-10.25"]])
    assert aligned("\n".join(["Caption.", "", *rows, "", "Note."])).splitlines() == [
        "Caption.",
        "",
        "| name |      x |",
        "| ---- | -----: |",
        r"| a\|b |    1.0 |",
        "| c    | -10.25 |",
        "",
        "Note.",
    ]
