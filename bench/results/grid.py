"""Comparable runs as a grid of data sets and methods: tables, figures and tests are computed from it."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd

from bench.config.tree import flat
from bench.results.episodes import reference_name, reference_of, selections
from bench.results.protocol import comparable_groups
from bench.results.runs import Runs
from bench.results.statistics import not_worse_than_best
from bench.storage.layout import Row

ORDER = ("bc", "filtered_bc", "sft", "sft_q", "iw_sft", "iw_sft_q")  # other methods follow in alphabetical order
DOMAINS = {
    "locomotion": "hopper|halfcheetah|walker2d|ant|humanoid|swimmer",
    "maze": "pointmaze|antmaze|maze2d|umaze",
    "kitchen": "kitchen",
    "adroit": "door|hammer|pen|relocate",
}
"""Parts of data set ids, as a regular expression, by domain."""


@dataclass(frozen=True)
class Grid:
    """One value per seed for each data set and method.

    values: (data set, method) -> one score per seed; a raw return where the data set has no reference scores. records: run.json of every
    cell. scored: data sets with reference scores. seeds: number of seeds that a complete cell has.
    """

    selection: str
    datasets: list[str]
    methods: list[str]
    values: Mapping[tuple[str, str], pd.Series]
    records: Mapping[tuple[str, str], Row]
    scored: list[str]
    seeds: int

    @property
    def reference(self) -> str:
        """Name of the reference set, "none" without one."""
        return next((reference_name(r) for r in self.records.values() if r["reference"] is not None), "none")

    def domains(self) -> dict[str, list[str]]:
        """Scored data sets by domain."""
        found: dict[str, list[str]] = {}
        for dataset in self.scored:
            found.setdefault(domain_of(dataset), []).append(dataset)
        return found

    def complete(self, datasets: Sequence[str]) -> list[str]:
        """Methods with a finite value for every seed on each of `datasets`."""
        return [m for m in self.methods if all((d, m) in self.values and self.values[d, m].notna().all() for d in datasets)]

    def strata(self, method: str, datasets: Sequence[str]) -> list[np.ndarray]:
        """Values of `method` on each of `datasets`, [seeds] each."""
        return [self.values[d, method].to_numpy() for d in datasets]

    def paired(self, methods: Sequence[str], datasets: Sequence[str]) -> list[list[np.ndarray]]:
        """`strata` of each method, cut to the seeds that all of them have; their means if some data set has no such seed."""
        common = {d: sorted(set.intersection(*(set(self.values[d, m].index) for m in methods))) for d in datasets}
        if not all(common.values()):
            return [[np.array([x.mean()]) for x in self.strata(m, datasets)] for m in methods]
        return [[self.values[d, m].loc[common[d]].to_numpy() for d in datasets] for m in methods]

    def bold(self, datasets: Sequence[str]) -> set[str]:
        """The best of the complete methods on `datasets`, and those that are not significantly worse (`not_worse_than_best`)."""
        methods = self.complete(datasets)
        if not methods:
            return set()
        marks = not_worse_than_best(self.paired(methods, datasets))
        return {m for m, marked in zip(methods, marks, strict=True) if marked}


def grids(runs: Runs, selection: str = "last") -> list[Grid]:
    """One grid for each group of comparable runs (`comparable_groups`), the largest first."""
    found = []
    for group in comparable_groups([record for record, _ in runs]):
        hashes = {r["config_hash"] for r in group}
        found.append(_grid([run for run in runs if run[0]["config_hash"] in hashes], selection))
    return sorted(found, key=lambda g: -len(g.values))


def _grid(runs: Runs, selection: str) -> Grid:
    names = method_names([record for record, _ in runs])
    values, records = {}, {}
    for (record, episodes), method in zip(runs, names, strict=True):
        returns = next(v for name, v in selections(record, episodes).items() if name == selection or name.startswith(f"{selection}_"))
        reference = reference_of(record)
        key = record["dataset"], method
        values[key] = returns if reference is None else pd.Series(reference.score(returns.to_numpy()), index=returns.index)
        records[key] = record
    datasets = sorted({d for d, _ in values})
    scored = sorted({d for (d, _), r in records.items() if r["reference"] is not None})
    return Grid(selection, datasets, in_order(names), values, records, scored, max(len(r["seeds"]) for r in records.values()))


def in_order(methods: Sequence[str]) -> list[str]:
    """Each of `methods` once, in the order of tables: `ORDER`, then the alphabet, settings by their numbers."""

    def rank(method: str) -> tuple[int, list[tuple[str, float]]]:
        algo = method.split()[0]
        words = re.findall(r"([^\d=]*=?)(\d+(?:\.\d+)?(?:e[+-]?\d+)?)?", method)
        return ORDER.index(algo) if algo in ORDER else len(ORDER), [(word, float(number or 0)) for word, number in words]

    return sorted(set(methods), key=rank)


def method_names(records: Sequence[Row]) -> list[str]:
    """The name of each run's method: `iw_sft`, or `iw_sft temperature=3.0` where several configurations of it meet on a data set.

    The name holds at most three settings, those that differ between the configurations; runs that it cannot tell apart get the first
    characters of their hash as well. Settings that differ only between data sets (`settings_by_dataset`) are no part of the name.
    """
    settings = _settings(records)
    differing = _differing(records, settings, lambda r: (r["algo"], r["dataset"]))
    names = []
    for record, own in zip(records, settings, strict=True):
        keys = [k for k in own if (record["algo"], k) in differing]
        names.append(" ".join([record["algo"], *(f"{k.split('.')[-1]}={own[k]}" for k in keys[:3])]))
    cells = [(r["dataset"], name) for r, name in zip(records, names, strict=True)]
    return [
        name if cells.count(cell) == 1 else f"{name} {r['config_hash'][:4]}" for r, name, cell in zip(records, names, cells, strict=True)
    ]


def settings_by_dataset(records: Sequence[Row]) -> list[str]:
    """One line for each method with settings that differ between data sets, and not between its runs on any one of them."""
    found: dict[str, list[str]] = {}
    settings = _settings(records)
    everywhere, on_one = (_differing(records, settings, of) for of in (lambda r: r["algo"], lambda r: (r["algo"], r["dataset"])))
    for algo, key in sorted(everywhere - on_one):
        found.setdefault(algo, []).append(f"algo.{key}")
    return [f"{algo}: settings that differ between data sets: {', '.join(keys)}." for algo, keys in found.items()]


def _differing(records: Sequence[Row], settings: Sequence[dict[str, Any]], group: Callable[[Row], Any]) -> set[tuple[str, str]]:
    """(method, setting) of `settings` that differ between runs of one method in one `group`."""
    seen: dict[Any, set[str]] = {}
    for record, own in zip(records, settings, strict=True):
        for key, value in own.items():
            seen.setdefault((record["algo"], key, group(record)), set()).add(repr(value))
    return {(algo, key) for (algo, key, _), values in seen.items() if len(values) > 1}


def _settings(records: Sequence[Row]) -> list[dict[str, Any]]:
    """The method's settings of each run, by dotted key."""
    return [flat(record["config"].get("algo", {})) for record in records]


def domain_of(dataset: str) -> str:
    """The domain of a data set by a part of its id; its namespace if the domain is not a known one."""
    parts = [re.sub(r"-v\d+$", "", part) for part in dataset.lower().split("/")]
    for domain, names in DOMAINS.items():
        if any(re.fullmatch(rf"(?:{names})(?:-.*)?", part) for part in parts):
            return domain
    return parts[0]
