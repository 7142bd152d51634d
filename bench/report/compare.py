"""Comparison of two runs or suites: paired differences, settings that differ, a verdict in words.

Seeds are pairs: they share the starts of evaluation episodes and, where a method uses one, pi_ref. Suites are compared method by method
on every data set that both have; two suites of one method each are compared even if the methods differ.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import numpy as np

from bench.config.tree import flat
from bench.errors import RunError
from bench.report.render import markdown_rows
from bench.results.grid import Grid, grids
from bench.results.protocol import measured_runs, refuse_mixed
from bench.results.runs import runs_at
from bench.results.statistics import Comparison, holm, paired

LEVEL = 0.05
NOT_COMPARED = ("suite", "results_dir", "force", "logger.", "dataset", "eval.workers", "eval.overlap", "report.")
"""Beginnings of keys that do not describe how a run was made."""


class Pair(NamedTuple):
    """A method of A and one of B with the data sets that both have."""

    first: str
    second: str
    datasets: list[str]


def compare(a: Path, b: Path, mixed: bool = False) -> str:
    """The comparison of B with A as Markdown; each is a run directory or a suite.

    Raises RunError for runs that cannot be compared, and for several protocols unless `mixed`.
    """
    first, second = runs_at(a), runs_at(b)
    if not mixed:
        refuse_mixed(f"{a} and {b}", measured_runs(r for r, _ in (*first, *second)), "run one of them again, or compare with --mixed")
    one, two = grids(first)[0], grids(second)[0]
    pairs = list(_pairs(one, two))
    if not pairs:
        raise RunError(
            f"{a} and {b} have no method and data set in common: {', '.join(one.methods)} on {', '.join(one.datasets)}; "
            f"{', '.join(two.methods)} on {', '.join(two.datasets)}"
        )
    lines = [
        f"A: {a}",
        f"B: {b}",
        "",
        "Difference B - A: mean over paired seeds, 95 % interval (Student's t), p corrected over data sets (Holm).",
        "",
    ]
    for pair in pairs:
        lines += [f"## {pair.first}" + (f" against {pair.second}" if pair.first != pair.second else ""), ""]
        lines += [*_table(one, two, pair), "", *_settings(one, two, pair), ""]
    return "\n".join(lines)


def _pairs(one: Grid, two: Grid) -> Iterator[Pair]:
    shared = [m for m in one.methods if m in two.methods]
    single = not shared and len(one.methods) == len(two.methods) == 1
    names = [(one.methods[0], two.methods[0])] if single else [(m, m) for m in shared]
    for first, second in names:
        datasets = [d for d in one.datasets if (d, first) in one.values and (d, second) in two.values]
        if datasets:
            yield Pair(first, second, datasets)


def _values(one: Grid, two: Grid, pair: Pair, dataset: str) -> tuple[np.ndarray, np.ndarray]:
    """Values of A and B with the seeds that both have, [seeds] each; their means, [1] each, if they share no seed."""
    a, b = one.values[dataset, pair.first], two.values[dataset, pair.second]
    seeds = sorted(set(a.index) & set(b.index))
    return (a.loc[seeds].to_numpy(), b.loc[seeds].to_numpy()) if seeds else (np.array([a.mean()]), np.array([b.mean()]))


def _table(one: Grid, two: Grid, pair: Pair) -> list[str]:
    """A line a data set, and one for their mean if several have scores."""
    values = {d: _values(one, two, pair, d) for d in pair.datasets}
    groups = {d: [values[d]] for d in pair.datasets}
    scored = [values[d] for d in pair.datasets if d in one.scored and all(np.isfinite(v).all() for v in values[d])]
    found = {name: paired([a for a, _ in own], [b for _, b in own]) for name, own in groups.items()}
    p_values = dict(zip(found, holm([c.p for c in found.values()]), strict=True))
    if len(scored) > 1:
        name = f"mean over {len(scored)} data sets"
        groups[name], found[name] = scored, paired([a for a, _ in scored], [b for _, b in scored])
        p_values[name] = found[name].p
    rows = [["data set", "A", "B", "B - A", "95 % interval", "p", "seeds", "verdict"]]
    for name, c in found.items():
        means = [float(np.mean([v[k].mean() for v in groups[name]])) for k in (0, 1)]
        seeds = min(len(v[0]) for v in groups[name])
        p = p_values[name]
        interval = "" if np.isnan(c.low) else f"{c.low:+.1f} to {c.high:+.1f}"
        shown = "" if np.isnan(p) else ("< 0.001" if p < 0.001 else f"{p:.3f}")
        numbers = [f"{means[0]:.1f}", f"{means[1]:.1f}", f"{c.difference:+.1f}"]
        rows.append([name, *numbers, interval, shown, "-" if seeds == 1 else str(seeds), verdict(c, p)])
    return markdown_rows(rows)


def verdict(c: Comparison, p: float) -> str:
    """The comparison in words, at level 0.05."""
    if np.isnan(c.difference):
        return "not comparable: no episodes, or failed ones without reference scores"
    if c.difference == 0 and (np.isnan(p) or p == 1):
        return "equal"
    if np.isnan(p):
        return "not testable: fewer than two paired seeds"
    if p < LEVEL:
        return f"B is {'better' if c.difference > 0 else 'worse'}"
    return f"no significant difference; one beyond {max(abs(c.low), abs(c.high)):.1f} is unlikely"


def _settings(one: Grid, two: Grid, pair: Pair) -> list[str]:
    """A table of the settings that differ on the first data set that both have."""
    dataset = pair.datasets[0]
    a, b = (flat(g.records[dataset, m]["config"]) for g, m in ((one, pair.first), (two, pair.second)))
    if not a or not b:
        return ["Settings: config.yaml is missing."]
    rows = [[k, str(a.get(k, "-")), str(b.get(k, "-"))] for k in {**a, **b} if not k.startswith(NOT_COMPARED) and a.get(k) != b.get(k)]
    return markdown_rows([["setting", "A", "B"], *rows], "---") if rows else ["Settings: no difference."]
