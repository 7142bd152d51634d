"""Tables for papers (LaTeX) and programs (CSV): per data set, per domain, overall."""

from __future__ import annotations

import io
from collections.abc import Iterator, Sequence
from typing import NamedTuple

import numpy as np
import pandas as pd

from bench import few_seeds, statistics
from bench.grid import Grid
from bench.statistics import Estimate, aggregate, standard_error, summarise

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
    """A booktabs table for each part."""
    return "\n\\par\\bigskip\n".join(_latex(*part) for part in parts)


def _latex(grid: Grid, found: Sequence[Line]) -> str:
    rows, previous = [], "data set"
    for line in found:
        if line.scope != previous:
            rows.append(r"\midrule")
            previous = line.scope
        label = line.name if line.scope == "data set" else f"{line.name} ({'IQM' if line.statistic == 'iqm' else line.statistic})"
        label += " (raw return)" if line.statistic == "mean return" else ""
        rows.append(" & ".join([_escape(label), *(_latex_cell(line, m) for m in grid.methods)]) + r" \\")
    head = " & ".join(["Data set", *map(_escape, grid.methods)]) + r" \\"
    note = (
        f"% {RULE}.\n% Score (reference set: {grid.reference}), selection: {grid.selection}; "
        f"$\\pm$: half-width of the 95 % interval (data sets: Student's t over seeds; aggregates: stratified bootstrap)."
    )
    if said := few_seeds.note([len(values) for values in grid.values.values()]):
        note += f"\n% {said}"
    body = "\n".join([r"\toprule", head, r"\midrule", *rows, r"\bottomrule"])
    return f"{note}\n\\begin{{tabular}}{{l{'r' * len(grid.methods)}}}\n{body}\n\\end{{tabular}}\n"


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
