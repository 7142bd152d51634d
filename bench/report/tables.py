"""Tables for papers (LaTeX) and programs (CSV): per data set, per domain, overall."""

from __future__ import annotations

import io
import re
from collections.abc import Iterator, Sequence
from itertools import pairwise
from math import ceil
from typing import NamedTuple

import numpy as np
import pandas as pd

from bench.report.orientation import COLUMNS, PAPER
from bench.results import few_seeds, statistics
from bench.results.grid import Grid
from bench.results.statistics import Estimate, aggregate, standard_error, summarise

HEADING = 12  # characters on a line of a column's heading
RULE = (
    "bold: the best mean on a data set (or over several) and every mean not significantly worse "
    "(paired t-test over seeds, Holm-corrected over the methods, level 0.05; with one seed the best alone)"
)


class Line(NamedTuple):
    """One row of a table: a scope (data set, domain or overall), the statistic in it, an estimate for each method that has one."""

    scope: str
    name: str
    statistic: str
    cells: dict[str, Estimate]
    bold: set[str]
    flags: dict[str, str]


def lines(grid: Grid) -> Iterator[Line]:
    """Means of every data set; mean and IQM of every domain and of all, of methods with a result on each of their data sets."""
    for dataset in grid.datasets:
        name = "mean" if dataset in grid.scored else "mean return"
        cells, flags = {}, {}
        for method in grid.methods:
            if (dataset, method) not in grid.values:
                continue
            values, record = grid.values[dataset, method], grid.records[dataset, method]
            s = summarise(values)
            cells[method] = Estimate(s.mean, s.low, s.high)
            failures = record.get("failed_episodes", 0)
            flags[method] = ", ".join(
                [f"{len(values)} of {grid.asked} seeds"] * (len(values) < grid.asked) + [f"{failures} failed"] * (failures > 0)
            )
        yield Line("data set", dataset, name, cells, grid.bold([dataset]), flags)
    domains = grid.domains()
    scopes = [("domain", name, sets) for name, sets in domains.items()] if len(domains) > 1 else []
    for scope, name, sets in [*scopes, ("overall", "overall", grid.scored)]:
        methods = grid.complete(sets)
        if len(sets) < 2 or not methods:
            continue
        for statistic in ("mean", "iqm"):
            cells = {m: aggregate(statistics.METRICS[statistic], grid.strata(m, sets)) for m in methods}
            yield Line(scope, name, statistic, cells, grid.bold(sets) if statistic == "mean" else set(), {})


Part = tuple[Grid, Sequence[Line]]
"""A grid with its `lines`; parts were not measured alike and are never joined."""


def latex(parts: Sequence[Part]) -> str:
    """booktabs tables for each part, no wider than an upright page."""
    return "\n\\par\\bigskip\\noindent\n".join(_latex(*part) for part in parts)


def _latex(grid: Grid, found: Sequence[Line]) -> str:
    note = (
        f"% {RULE}.\n% Score (reference set: {grid.reference}), selection: {grid.selection}; "
        f"$\\pm$: half-width of the 95 % interval (data sets: Student's t over seeds; aggregates: stratified bootstrap)."
    )
    if said := few_seeds.note([len(values) for values in grid.values.values()]):
        note += f"\n% {said}"
    if len(grid.methods) <= PAPER:
        return f"{note}\n{_methods_across(grid, found)}"
    return f"{note}\n" + "\\par\\medskip\\noindent\n".join(_methods_down(grid, piece) for piece in _pieces(found))


def _methods_across(grid: Grid, found: Sequence[Line]) -> str:
    rows: list[Sequence[str]] = []
    previous = "data set"
    for line in found:
        if line.scope != previous:
            rows.append(r"\midrule")
            previous = line.scope
        rows.append([_escape(_label(line)), *(_latex_cell(line, m) for m in grid.methods)])
    return _tabular("l" + "r" * len(grid.methods), ["Data set", *map(_escape, grid.methods)], rows)


def _methods_down(grid: Grid, found: Sequence[Line]) -> str:
    """A line a method that has a result here; a gap stands where data sets end and aggregates begin."""
    gaps = ["", *(r"@{\quad}" if a.scope != b.scope else "" for a, b in pairwise(found))]
    head = ["Method", *(rf"\begin{{tabular}}[b]{{@{{}}r@{{}}}}{_stacked(_label(line))}\end{{tabular}}" for line in found)]
    methods = [m for m in grid.methods if any(m in line.cells for line in found)]
    return _tabular("l" + "".join(f"{gap}r" for gap in gaps), head, [[_escape(m), *(_latex_cell(x, m) for x in found)] for m in methods])


def _tabular(columns: str, head: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """`rows` are cells, or a rule."""
    lines = [row if isinstance(row, str) else " & ".join(row) + r" \\" for row in [r"\toprule", head, r"\midrule", *rows, r"\bottomrule"]]
    return "\n".join([rf"\begin{{tabular}}{{{columns}}}", *lines, r"\end{tabular}", ""])


def _pieces(found: Sequence[Line]) -> list[Sequence[Line]]:
    """`found` in pieces of at most COLUMNS, about equally large; aggregates apart unless all fit one."""
    if len(found) <= COLUMNS:
        return [found]
    pieces: list[Sequence[Line]] = []
    for group in ([x for x in found if x.scope == "data set"], [x for x in found if x.scope != "data set"]):
        if group:
            size = ceil(len(group) / ceil(len(group) / COLUMNS))
            pieces += [group[k : k + size] for k in range(0, len(group), size)]
    return pieces


def _label(line: Line) -> str:
    label = line.name if line.scope == "data set" else f"{line.name} ({'IQM' if line.statistic == 'iqm' else line.statistic})"
    return label + (" (raw return)" if line.statistic == "mean return" else "")


def _stacked(label: str) -> str:
    """A heading on several lines, broken behind punctuation."""
    lines = [""]
    for piece in re.findall(r"[^/@+\- ]*[/@+\- ]|[^/@+\- ]+$", label):
        if lines[-1] and len(lines[-1] + piece.strip()) > HEADING:
            lines.append("")
        lines[-1] += piece
    return r"\\".join(_escape(line.strip()) for line in lines)


def _latex_cell(line: Line, method: str) -> str:
    if method not in line.cells:
        return "--"
    estimate = line.cells[method]
    digits = 0 if line.statistic == "mean return" else 1
    if np.isnan(estimate.value):
        return "failed"
    value = f"{estimate.value:.{digits}f}"
    half = (estimate.high - estimate.low) / 2
    text = rf"\mathbf{{{value}}}" if method in line.bold else value
    flag = f"\\textsuperscript{{{_escape(line.flags[method])}}}" if line.flags.get(method) else ""
    return f"${text}" + ("" if np.isnan(half) else rf" \pm {half:.{digits}f}") + "$" + flag


def _escape(text: str) -> str:
    for character in "\\&%$#_{}":
        text = text.replace(character, {"\\": r"\textbackslash "}.get(character, "\\" + character))
    return text


def long_csv(parts: Sequence[Part]) -> str:
    """Every number of the tables, one a line."""
    rows = []
    for grid, found in parts:
        for line in found:
            for method, e in line.cells.items():
                alone = grid.values[line.name, method] if line.scope == "data set" else None
                rows.append(
                    {
                        "scope": line.scope, "name": line.name, "algo": method, "selection": grid.selection, "reference": grid.reference,
                        "statistic": line.statistic, "value": e.value, "ci_low": e.low, "ci_high": e.high,
                        "std": np.nan if alone is None else summarise(alone).std,
                        "standard_error": np.nan if alone is None else standard_error(alone),
                        "seeds": grid.asked if alone is None else len(alone),
                        "bold": int(method in line.bold), "flags": line.flags.get(method, ""),
                    }
                )  # fmt: skip
    out = io.StringIO()
    pd.DataFrame(rows).to_csv(out, index=False, float_format="%.6g", lineterminator="\n")
    return out.getvalue()
