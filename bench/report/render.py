"""Renderers of a table: Markdown, LaTeX, CSV and HTML. Many methods become rows, so that one more method is one more line."""

from __future__ import annotations

import html as escaping
import re
from collections.abc import Callable, Sequence
from itertools import groupby, pairwise, zip_longest
from math import ceil
from typing import TypeVar

import numpy as np
import pandas as pd

from bench.report.tables import NOT_PLAYED, Cell, Line, Table
from bench.results.csv_files import to_csv

PAGE = 9  # columns of methods that fit the width of a web page
PAPER = 5  # columns of methods that fit an upright page of paper
COLUMNS = 6  # columns of a LaTeX table whose rows are methods; more data sets continue in a further table
UNBROKEN = 48  # characters of a name that stays on one line of a web page
LATEX_SIGNS = {"†": r"\dag{}", "‡": r"\ddag{}"}
HEADING = 12  # characters on a line of a column's heading in LaTeX

T = TypeVar("T")


def _text(line: Line, cell: Cell | None) -> tuple[str, str]:
    """Value and half-width as text; empty if missing."""
    if cell is None:
        return "", ""
    if np.isnan(cell.value):
        return "-" if cell.flag == NOT_PLAYED else "failed", ""
    digits = line.digits(cell)
    return f"{cell.value:.{digits}f}", "" if np.isnan(cell.half) else f"{cell.half:.{digits}f}"


def _layout(table: Table, cell: Callable[[Line, str], T]) -> tuple[list[str], list[tuple[str, list[T]]]]:
    """Head and rows (name, cells) for a screen: data sets are the rows, or methods if they are more than PAGE and than the data sets."""
    rows = [(line.label, [cell(line, m) for m in table.methods]) for line in table.lines]
    if len(table.methods) <= max(PAGE, len(table.lines)):
        return ["data set", *table.methods], rows
    return ["method", *(name for name, _ in rows)], [(m, [cells[k] for _, cells in rows]) for k, m in enumerate(table.methods)]


# Markdown.


def markdown_row(cells: Sequence[str]) -> str:
    """One row of a Markdown table; a pipe or a line break in a cell does not end it."""
    return "| " + " | ".join(markdown_text(cell).replace("|", r"\|") for cell in cells) + " |"


def markdown_text(text: str) -> str:
    """`text` on one line of Markdown, without HTML, links and pictures."""
    return re.sub(r"<(?=[A-Za-z/!?])", "&lt;", " ".join(text.split())).replace("](", r"]\(")


def markdown_rows(rows: Sequence[Sequence[str]], align: str = "---:") -> list[str]:
    """The lines of a Markdown table; `rows[0]` is its head, the first column is aligned left, the others by `align`."""
    return [markdown_row(rows[0]), markdown_row(["---", *[align] * (len(rows[0]) - 1)]), *map(markdown_row, rows[1:])]


def aligned(text: str) -> str:
    """Markdown with the columns of its tables padded, for a terminal."""
    found: list[str] = []
    for is_row, lines in groupby(text.split("\n"), lambda line: line.startswith("| ") and line.endswith(" |")):
        if not is_row:
            found += lines
            continue
        rows = [[cell.strip() for cell in re.split(r"(?<!\\)\|", line)[1:-1]] for line in lines]
        rule = rows[1] if len(rows) > 1 else []
        widths = [max(map(len, column)) for column in zip_longest(*rows, fillvalue="")]
        for row in rows:
            cells = zip(row, widths, rule + [""] * len(row), strict=False)
            padded = (_dashes(r, w) if row is rule else cell.rjust(w) if r.endswith(":") else cell.ljust(w) for cell, w, r in cells)
            found.append(f"| {' | '.join(padded)} |")
    return "\n".join(found)


def _dashes(rule: str, width: int) -> str:
    return "-" * (width - 1) + ":" if rule.endswith(":") else "-" * width


def markdown(table: Table) -> str:
    """Caption, table and notes."""

    def cell(line: Line, method: str) -> str:
        found = line.cells.get(method)
        value, half = _text(line, found)
        if found is None:
            return ""
        text = f"**{value}**" if found.bold else value
        marks = "; ".join(["="] * found.tied + [found.flag] * bool(found.flag))
        return text + (f" +- {half}" if half else "") + (f" ({marks})" if marks else "") + (f" {found.signs}" if found.signs else "")

    head, rows = _layout(table, cell)
    lines = markdown_rows([head, *([name, *cells] for name, cells in rows)])
    notes = (text for note in table.notes for text in ("", markdown_text(note)))
    return "\n".join([markdown_text(table.caption), "", *lines, *notes, ""])


# HTML.


def html(table: Table) -> str:
    """Caption, table and notes; every text is escaped."""
    head, rows = _layout(table, _html_cell)
    labels = [breakable(name, "&#8203;") for name in head[1:]]
    lines = [
        f"<p>{escaping.escape(table.caption)}</p>",
        '<div class="scroll"><table class="cards results">',
        f"<thead><tr>{''.join(f'<th>{heading(name)}</th>' for name in head)}</tr></thead>",
        "<tbody>",
    ]
    scopes = [line.scope for line in table.lines] if head[0] == "data set" else ["method"] * len(rows)
    for (name, cells), scope, previous in zip(rows, scopes, [scopes[0], *scopes], strict=False):
        row = "<tr>" if scope == previous else '<tr class="rule">'
        found = "".join(f'<td data-label="{label}">{cell}</td>' for label, cell in zip(labels, cells, strict=True))
        lines.append(f'{row}<th scope="row">{unbroken(name)}</th>{found}</tr>')
    lines += ["</tbody>", "</table></div>", *(f'<p class="note">{escaping.escape(note)}</p>' for note in table.notes)]
    return "\n".join(lines)


def _html_cell(line: Line, method: str) -> str:
    found = line.cells.get(method)
    value, half = _text(line, found)
    if found is None:
        return ""
    text = f"<b>{value}</b>" if found.bold else value
    flag = f' <small class="flag">{escaping.escape(found.flag)}</small>' if found.flag else ""
    tied = ' <small class="tied" title="not told apart from the best">=</small>' if found.tied else ""
    words = ", ".join(found.training)
    signs = f'<sup class="sign" title="{words}">{found.signs}</sup>' if words else ""
    return text + (f" <small>&plusmn; {half}</small>" if half else "") + tied + flag + signs


def breakable(text: str, gap: str = "<wbr>") -> str:
    """`text`, escaped, with a possible line break (`gap`) after every / and -."""
    return re.sub("([/-])", rf"\1{gap}", escaping.escape(text))


def unbroken(text: str) -> str:
    """`text`, escaped, on one line where the screen is wide; with possible line breaks if it is longer than UNBROKEN."""
    return f'<span class="id">{escaping.escape(text)}</span>' if len(text) <= UNBROKEN else breakable(text)


def heading(text: str) -> str:
    """`text`, escaped, with possible line breaks after / alone: the parts of an id stay whole."""
    parts = escaping.escape(text).split("/")
    return "/<wbr>".join(f'<span class="id">{part}</span>' if len(part) <= UNBROKEN else part for part in parts)


# CSV.


def long_csv(tables: Sequence[Table]) -> str:
    """Every number of the tables, one per line."""
    rows = [
        {
            "scope": line.scope, "name": line.name, "algo": method, "selection": table.selection, "actions": table.actions,
            "reference": table.reference,
            "statistic": line.statistic, "value": cell.value, "ci_low": cell.low, "ci_high": cell.high,
            "std": cell.std, "standard_error": cell.std / np.sqrt(cell.seeds), "seeds": cell.seeds,
            "bold": int(cell.bold), "tied": int(cell.tied),
            "flags": ", ".join([*[cell.flag] * bool(cell.flag), *cell.training]),
        }
        for table in tables for line in table.lines for method, cell in line.cells.items()
    ]  # fmt: skip
    return to_csv(pd.DataFrame(rows))


# LaTeX.


def latex(tables: Sequence[Table]) -> str:
    """booktabs tables, no wider than an upright page; captions and notes are comments."""
    return "\n\\par\\bigskip\\noindent\n".join(map(_latex, tables))


def _latex(table: Table) -> str:
    comments = "".join(f"% {' '.join(text.split())}\n" for text in (table.caption, *table.notes))
    if len(table.methods) <= PAPER:
        return comments + _methods_as_columns(table)
    return comments + "\\par\\medskip\\noindent\n".join(_methods_as_rows(table.methods, piece) for piece in _pieces(table.lines))


def _methods_as_columns(table: Table) -> str:
    rows: list[Sequence[str]] = []
    previous = "data set"
    for line in table.lines:
        if line.scope != previous:
            rows.append(r"\midrule")
            previous = line.scope
        rows.append([_latex_text(line.label), *(_latex_cell(line, m) for m in table.methods)])
    return _tabular("l" + "r" * len(table.methods), ["Data set", *map(_latex_text, table.methods)], rows)


def _methods_as_rows(methods: Sequence[str], lines: Sequence[Line]) -> str:
    """A row for each method with a result in `lines`; a gap separates data sets from aggregates."""
    gaps = ["", *(r"@{\quad}" if a.scope != b.scope else "" for a, b in pairwise(lines))]
    head = ["Method", *(rf"\begin{{tabular}}[b]{{@{{}}r@{{}}}}{_stacked(line.label)}\end{{tabular}}" for line in lines)]
    rows = [[_latex_text(m), *(_latex_cell(line, m) for line in lines)] for m in methods if any(m in line.cells for line in lines)]
    return _tabular("l" + "".join(f"{gap}r" for gap in gaps), head, rows)


def _tabular(columns: str, head: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """A tabular environment; each of `rows` is its cells, or a rule."""
    lines = [row if isinstance(row, str) else " & ".join(row) + r" \\" for row in [r"\toprule", head, r"\midrule", *rows, r"\bottomrule"]]
    return "\n".join([rf"\begin{{tabular}}{{{columns}}}", *lines, r"\end{tabular}", ""])


def _pieces(lines: Sequence[Line]) -> list[Sequence[Line]]:
    """`lines` in pieces of at most COLUMNS and about equal size; aggregates have pieces of their own unless everything fits one."""
    if len(lines) <= COLUMNS:
        return [lines]
    pieces: list[Sequence[Line]] = []
    for group in ([x for x in lines if x.scope == "data set"], [x for x in lines if x.scope != "data set"]):
        if group:
            size = ceil(len(group) / ceil(len(group) / COLUMNS))
            pieces += [group[k : k + size] for k in range(0, len(group), size)]
    return pieces


def _stacked(label: str) -> str:
    """A heading on several lines, broken after punctuation."""
    lines = [""]
    for piece in re.findall(r"[^/@+\- ]*[/@+\- ]|[^/@+\- ]+$", label):
        if lines[-1] and len(lines[-1] + piece.strip()) > HEADING:
            lines.append("")
        lines[-1] += piece
    return r"\\".join(_latex_text(line.strip()) for line in lines)


def _latex_cell(line: Line, method: str) -> str:
    found = line.cells.get(method)
    value, half = _text(line, found)
    if found is None:
        return "--"
    if np.isnan(found.value):
        return value if value == "failed" else "--"
    text = rf"\mathbf{{{value}}}" if found.bold else value
    signs = "".join(LATEX_SIGNS[sign] for sign in found.signs)
    flag = f"\\textsuperscript{{{signs}{_latex_text(found.flag)}}}" if found.flag or signs else ""
    return f"${text}" + (rf" \pm {half}" if half else "") + ("^{=}" if found.tied else "") + "$" + flag


def _latex_text(text: str) -> str:
    names = {"\\": "backslash", "|": "bar", "<": "less", ">": "greater", "~": "asciitilde", "^": "asciicircum"}
    return "".join(rf"\text{names[c]}{{}}" if c in names else f"\\{c}" if c in "&%$#_{}" else c for c in text)
