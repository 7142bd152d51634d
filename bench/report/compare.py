"""Comparison of two runs or suites: paired differences, settings that differ, a verdict in words.

Seeds are pairs: they share the starts of evaluation episodes and, where a method uses one, pi_ref. Suites are compared method by method
on every data set that both have; two suites of one method each are compared even if the methods differ. Methods of one suite are
set against each other, or against the best of them.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import combinations
from pathlib import Path
from typing import NamedTuple

import numpy as np

from bench.config.tree import flat
from bench.errors import RunError
from bench.numbers import decimals, spell_return
from bench.report.render import markdown_rows
from bench.results.grid import Grid, grids
from bench.results.protocol import measured_runs, refuse_mixed
from bench.results.runs import runs_at
from bench.results.statistics import Comparison, holm, paired

LEVEL = 0.05
NOT_COMPARED = ("suite", "results_dir", "force", "logger.", "dataset", "eval.workers", "eval.overlap", "report.")
"""Beginnings of keys that do not describe how a run was made."""


EXPLAINED = "Difference B - A: mean over paired seeds, 95 % interval (Student's t), p corrected over data sets (Holm)."


class Pair(NamedTuple):
    """A method of A and one of B with the data sets that both have."""

    first: str
    second: str
    datasets: list[str]


def compare(a: Path, b: Path, mixed: bool = False, mix_marked: bool = False) -> str:
    """The comparison of B with A as Markdown; each is a run directory or a suite. mix_marked: as in `Grid`, for means over data sets.

    Raises RunError for runs that cannot be compared, and for several protocols unless `mixed`.
    """
    first, second = runs_at(a), runs_at(b)
    if not mixed:
        refuse_mixed(f"{a} and {b}", measured_runs(r for r, _ in (*first, *second)), "run one of them again, or compare with --mixed")
    lines = [f"A: {a}", f"B: {b}", "", EXPLAINED, ""]
    for one, two in _same_actions(*(grids(runs, mix_marked=mix_marked) for runs in (first, second))):
        pairs = list(_pairs(one, two))
        if not pairs:
            raise RunError(
                f"{a} and {b} have no method and data set in common: {', '.join(one.methods)} on {', '.join(one.datasets)}; "
                f"{', '.join(two.methods)} on {', '.join(two.datasets)}"
            )
        lines += [*_actions(one), *_sections(one, two, pairs)]
    return "\n".join(lines)


def compare_methods(suite: Path, methods: Sequence[str] = (), mixed: bool = False, mix_marked: bool = False) -> str:
    """The comparison of the methods of one suite as Markdown: of all pairs of `methods`, or of the best method with every other one.

    The best: by mean rank over the data sets, of the methods without a mark if there are any. Raises RunError for an unknown method, if
    there are fewer than two, and for several protocols unless `mixed`, which compares those of the largest group.
    """
    runs = runs_at(suite)
    if not mixed:
        refuse_mixed(str(suite), measured_runs(r for r, _ in runs), "compare those of the largest group with --mixed")
    lines, groups = [f"Methods of {suite}", "", EXPLAINED, ""], grids(runs, mix_marked=mix_marked)
    for grid, _ in _same_actions(groups, groups):
        chosen = grid.named(methods)
        if methods:
            names = list(combinations(chosen, 2))
        else:
            best = grid.ranked()[0]
            names = [(m, best) for m in grid.methods if m != best]
        pairs = [Pair(x, y, found) for x, y in names if (found := _common(grid, grid, x, y))]
        if not pairs:
            raise RunError(f"{suite}: no two methods with a data set in common; it has {', '.join(grid.methods)}")
        lines += _actions(grid)
        if len(pairs) > 1:
            lines += [*_overview(grid, pairs), ""]
        lines += _sections(grid, grid, pairs)
    return "\n".join(lines)


def _same_actions(first: Sequence[Grid], second: Sequence[Grid]) -> list[tuple[Grid, Grid]]:
    """The largest grids of both sides for each kind of actions that both have; the largest ones of all if they have none in common."""
    largest = [{grid.actions: grid for grid in reversed(side)} for side in (first, second)]
    both = [actions for actions in ("mean", "sampled") if all(actions in side for side in largest)]
    return [(largest[0][actions], largest[1][actions]) for actions in both] or [(first[0], second[0])]


def _actions(grid: Grid) -> list[str]:
    """A heading for a comparison of sampled actions."""
    return ["# Sampled actions", ""] if grid.actions == "sampled" else []


def _sections(one: Grid, two: Grid, pairs: Sequence[Pair]) -> list[str]:
    """A section for each pair: its table, and the settings that differ."""
    lines = []
    for pair in pairs:
        lines += [f"## {pair.first}" + (f" against {pair.second}" if pair.first != pair.second else ""), ""]
        lines += [*_table(one, two, pair), "", *_marked(one, two, pair), *_settings(one, two, pair), ""]
    return lines


def _marked(one: Grid, two: Grid, pair: Pair) -> list[str]:
    """A sentence on the rows of `pair` that were not trained long enough, if any."""
    sides = (("A", one, pair.first), ("B", two, pair.second))
    found = [
        f"{name} on {d}: {', '.join(own)}" for name, grid, m in sides for d in pair.datasets if (own := grid.training_marks.get((d, m)))
    ]
    mean = "" if _averaged(one, two, pair) else " No mean over the data sets: it would join marked rows with unmarked ones (--mix-marked)."
    return [f"Not trained long enough (docs/statistics.md): {'; '.join(found)}.{mean}", ""] if found else []


def _averaged(one: Grid, two: Grid, pair: Pair) -> bool:
    """True if the rows of A may share an average, and those of B: all are marked, or none is."""
    return all(grid.alike(method, pair.datasets) for grid, method in ((one, pair.first), (two, pair.second)))


def _overview(grid: Grid, pairs: Sequence[Pair]) -> list[str]:
    """A line for each pair: the mean over its data sets, p corrected over the pairs (Holm). A pair without an average has none."""
    pairs = [pair for pair in pairs if _averaged(grid, grid, pair)]
    values = [
        [_values(grid, grid, pair, d) for d in pair.datasets if _scored(grid, grid, pair, d) or len(pair.datasets) == 1] for pair in pairs
    ]
    known = [
        (pair, own) for pair, own in zip(pairs, values, strict=True) if own and all(np.isfinite(v).all() for both in own for v in both)
    ]
    found = [paired([a for a, _ in own], [b for _, b in own]) for _, own in known]
    rows = [["A", "B", "B - A", "95 % interval", "p", "data sets", "verdict"]]
    for (pair, own), c, p in zip(known, found, holm([c.p for c in found]), strict=True):
        rows.append([pair.first, pair.second, *_numbers(c, p, _scored(grid, grid, pair, pair.datasets[0])), str(len(own)), verdict(c, p)])
    return markdown_rows(rows) if len(rows) > 1 else []


def _pairs(one: Grid, two: Grid) -> Iterator[Pair]:
    shared = [m for m in one.methods if m in two.methods]
    single = not shared and len(one.methods) == len(two.methods) == 1
    for first, second in [(one.methods[0], two.methods[0])] if single else [(m, m) for m in shared]:
        if datasets := _common(one, two, first, second):
            yield Pair(first, second, datasets)


def _common(one: Grid, two: Grid, first: str, second: str) -> list[str]:
    """The data sets on which both methods have a result."""
    return [d for d in one.datasets if (d, first) in one.records and (d, second) in two.records]


def _scored(one: Grid, two: Grid, pair: Pair, dataset: str) -> bool:
    """True if both have scores on `dataset`; else raw returns are compared."""
    cells = one.records[dataset, pair.first], two.records[dataset, pair.second]
    return all(record["reference"] is not None for record in cells)


def _values(one: Grid, two: Grid, pair: Pair, dataset: str) -> tuple[np.ndarray, np.ndarray]:
    """Values of A and B with the seeds that both have, [seeds] each; their means, [1] each, if they share no seed."""
    if not _scored(one, two, pair, dataset):
        one, two = one.in_returns(), two.in_returns()
    keys = (dataset, pair.first), (dataset, pair.second)
    if keys[0] not in one.values or keys[1] not in two.values:  # not played
        return np.array([np.nan]), np.array([np.nan])
    a, b = one.values[keys[0]], two.values[keys[1]]
    seeds = sorted(set(a.index) & set(b.index))
    return (a.loc[seeds].to_numpy(), b.loc[seeds].to_numpy()) if seeds else (np.array([a.mean()]), np.array([b.mean()]))


def _table(one: Grid, two: Grid, pair: Pair) -> list[str]:
    """A line a data set, and one for their mean if several have scores."""
    values = {d: _values(one, two, pair, d) for d in pair.datasets}
    groups = {d: [values[d]] for d in pair.datasets}
    scored = [values[d] for d in pair.datasets if _scored(one, two, pair, d) and all(np.isfinite(v).all() for v in values[d])]
    found = {name: paired([a for a, _ in own], [b for _, b in own]) for name, own in groups.items()}
    p_values = dict(zip(found, holm([c.p for c in found.values()]), strict=True))
    if len(scored) > 1 and _averaged(one, two, pair):
        name = f"mean over {len(scored)} data sets"
        groups[name], found[name] = scored, paired([a for a, _ in scored], [b for _, b in scored])
        p_values[name] = found[name].p
    rows = [["data set", "A", "B", "B - A", "95 % interval", "p", "seeds", "verdict"]]
    for name, c in found.items():
        means = [float(np.mean([v[k].mean() for v in groups[name]])) for k in (0, 1)]
        seeds = min(len(v[0]) for v in groups[name])
        as_scores = name not in pair.datasets or _scored(one, two, pair, name)
        digits = 1 if as_scores else decimals(*means)
        shown = [f"{mean:.{digits}f}" for mean in means]
        p = p_values[name]
        label = name if as_scores else f"{name} (raw return)"
        rows.append([label, *shown, *_numbers(c, p, as_scores), "-" if seeds == 1 else str(seeds), verdict(c, p)])
    return markdown_rows(rows)


def _numbers(c: Comparison, p: float, scored: bool) -> list[str]:
    """Difference, interval and p as text; one decimal for scores, three significant digits for returns."""
    digits = 1 if scored else decimals(c.difference, c.low, c.high)
    interval = "" if np.isnan(c.low) else f"{c.low:+.{digits}f} to {c.high:+.{digits}f}"
    return [f"{c.difference:+.{digits}f}", interval, "" if np.isnan(p) else ("< 0.001" if p < 0.001 else f"{p:.3f}")]


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
    return f"no significant difference; one beyond {spell_return(max(abs(c.low), abs(c.high)))} is unlikely"


def _settings(one: Grid, two: Grid, pair: Pair) -> list[str]:
    """A table of the settings that differ on the first data set that both have."""
    dataset = pair.datasets[0]
    a, b = (flat(g.records[dataset, m]["config"]) for g, m in ((one, pair.first), (two, pair.second)))
    if not a or not b:
        return ["Settings: config.yaml is missing."]
    rows = [[k, str(a.get(k, "-")), str(b.get(k, "-"))] for k in {**a, **b} if not k.startswith(NOT_COMPARED) and a.get(k) != b.get(k)]
    return markdown_rows([["setting", "A", "B"], *rows], "---") if rows else ["Settings: no difference."]
