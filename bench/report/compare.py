"""Differences between two runs or suites, in numbers and in words: `python -m bench compare A B`.

Seeds are pairs: they share the starts of evaluation episodes and, where a method uses one, the reference policy. Suites are compared
method by method on every data set that both have; where each has one method, the two are compared whatever they are called.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pandas as pd

from bench.config.compose import flat
from bench.errors import RunError
from bench.report.suite import suite_runs
from bench.results.episodes import failed, read_episodes
from bench.results.grid import Grid, Runs, config_of, grids
from bench.results.statistics import Comparison, holm, paired
from bench.storage.rundir import Row

LEVEL = 0.05
NOT_COMPARED = ("suite", "results_dir", "force", "logger.", "dataset", "eval.workers", "eval.overlap", "report.")


class Pair(NamedTuple):
    """A method of A and one of B with the data sets that both have."""

    first: str
    second: str
    datasets: list[str]


def read_runs(path: Path) -> list[tuple[Row, pd.DataFrame]]:
    """The finished runs of a run directory or a suite. Raises RunError if `path` is neither."""
    record = path / "run.json"
    if not record.is_file():
        if not (path / "runs").is_dir():
            raise RunError(f"{path}: neither a run directory (run.json) nor a suite (runs/); expected something like results/quick")
        return suite_runs(path)
    try:
        found = json.loads(record.read_text())
        if found["status"] != "finished":
            raise RunError(f"{path}: is not finished; the command that started it goes on from where it is")
        episodes = read_episodes(path, found)
    except (ValueError, KeyError) as error:
        raise RunError(f"{path}: cannot be read ({error}); run it again with force=true") from error
    return [(found | {"folder": str(path), "failed_episodes": int(failed(episodes).sum())}, episodes)]


def compare(a: Path, b: Path, mixed: bool = False) -> str:
    """The comparison of B with A, as markdown. Raises RunError for what cannot be compared, and for mixed protocols unless `mixed`."""
    first, second = read_runs(a), read_runs(b)
    if not mixed:
        refuse_mixed(first, second)
    one, two = _grid(a, first, mixed), _grid(b, second, mixed)
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
        "Difference B - A: mean over paired seeds, 95 % interval (Student's t), p corrected over the lines (Holm).",
        "",
    ]
    for pair in pairs:
        lines += [f"## {pair.first}" + (f" against {pair.second}" if pair.first != pair.second else ""), ""]
        lines += [*_table(one, two, pair), "", *_config_lines(one, two, pair), ""]
    return "\n".join(lines)


def refuse_mixed(first: Runs, second: Runs) -> None:
    """Raise RunError unless all runs were measured alike and data sets of one name hold the same data."""
    records = [r for r, _ in (*first, *second)]
    for name, values in (
        ("reference families", {r["reference"]["name"] for r in records if r["reference"] is not None}),
        ("final episodes a seed", {str(r["final_episodes"]) for r in records}),
    ):
        if len(values) > 1:
            raise RunError(f"{name} differ: {' and '.join(sorted(values))}; run one of them again, or compare all the same with --mixed")
    digests: dict[str, str] = {}
    for r in records:
        if digests.setdefault(r["dataset"], r["dataset_digest"]) != r["dataset_digest"]:
            raise RunError(f"{r['dataset']}: holds different data in the two; record or download it again, or compare with --mixed")


def _grid(path: Path, runs: Runs, mixed: bool) -> Grid:
    found = grids(runs)
    if len(found) > 1 and not mixed:
        raise RunError(f"{path}: its runs were measured in {len(found)} ways; compare runs of it one by one")
    return found[0]


def _pairs(one: Grid, two: Grid) -> Iterator[Pair]:
    shared = [m for m in one.methods if m in two.methods]
    alone = not shared and len(one.methods) == len(two.methods) == 1
    names = [(one.methods[0], two.methods[0])] if alone else [(m, m) for m in shared]
    for first, second in names:
        datasets = [d for d in one.datasets if (d, first) in one.values and (d, second) in two.values]
        if datasets:
            yield Pair(first, second, datasets)


def _values(one: Grid, two: Grid, pair: Pair, dataset: str) -> tuple[np.ndarray, np.ndarray]:
    """Values of A and B with the seeds that both have; means alone where there is none."""
    a, b = one.values[dataset, pair.first], two.values[dataset, pair.second]
    seeds = sorted(set(a.index) & set(b.index))
    return (a.loc[seeds].to_numpy(), b.loc[seeds].to_numpy()) if seeds else (np.array([a.mean()]), np.array([b.mean()]))


def _table(one: Grid, two: Grid, pair: Pair) -> list[str]:
    values = {d: _values(one, two, pair, d) for d in pair.datasets}
    found = [paired([a], [b]) for a, b in values.values()]
    names = [*pair.datasets]
    scored = [d for d in pair.datasets if d in one.scored and all(np.isfinite(v).all() for v in values[d])]
    if len(scored) > 1:
        names.append(f"mean over {len(scored)} data sets")
        found.append(paired([values[d][0] for d in scored], [values[d][1] for d in scored]))
    corrected = [*holm([c.p for c in found[: len(pair.datasets)]]), *(c.p for c in found[len(pair.datasets) :])]
    rows = ["| data set | A | B | B - A | 95 % interval | p | seeds | verdict |", "| --- | ---: | ---: | ---: | ---: | ---: | ---: | --- |"]
    for i, (name, c, p) in enumerate(zip(names, found, corrected, strict=True)):
        own = [values[name]] if i < len(pair.datasets) else [values[d] for d in scored]
        means = [float(np.mean([v[k].mean() for v in own])) for k in (0, 1)]
        seeds = "-" if all(len(v[0]) == 1 for v in own) and np.isnan(c.p) else str(min(len(v[0]) for v in own))
        span = "" if np.isnan(c.low) else f"{c.low:+.1f} to {c.high:+.1f}"
        shown = "" if np.isnan(p) else ("< 0.001" if p < 0.001 else f"{p:.3f}")
        rows.append(f"| {name} | {means[0]:.1f} | {means[1]:.1f} | {c.difference:+.1f} | {span} | {shown} | {seeds} | {verdict(c, p)} |")
    return rows


def verdict(c: Comparison, p: float) -> str:
    """In words what a comparison says, at level 0.05."""
    if np.isnan(c.difference):
        return "cannot be compared: failed episodes without a reference to count them by"
    if c.difference == 0 and (np.isnan(p) or p == 1):
        return "the same"
    if np.isnan(p):
        return "cannot be told: fewer than two seeds to pair"
    if p < LEVEL:
        return f"B is {'better' if c.difference > 0 else 'worse'}"
    return f"no difference can be told; one beyond {max(abs(c.low), abs(c.high)):.1f} is unlikely"


def _config_lines(one: Grid, two: Grid, pair: Pair) -> list[str]:
    """The settings in which the two differ, on the first data set that both have."""
    dataset = pair.datasets[0]
    a, b = (flat(config_of(g.records[dataset, m])) for g, m in ((one, pair.first), (two, pair.second)))
    differing = [k for k in {**a, **b} if not k.startswith(NOT_COMPARED) and a.get(k) != b.get(k)]
    if not a or not b:
        return ["Settings: config.yaml is missing."]
    if not differing:
        return ["Settings: no difference."]
    return ["| setting | A | B |", "| --- | --- | --- |", *(f"| {k} | {a.get(k, '-')} | {b.get(k, '-')} |" for k in differing)]
