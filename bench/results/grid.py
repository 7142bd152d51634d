"""Runs measured alike, as data sets x methods with a value a seed: what tables, figures and tests compute with."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from bench.config.compose import flat
from bench.config.saved import read_yaml
from bench.report.table import ORDER, split
from bench.results.domains import domain_of
from bench.results.episodes import reference_of, selections
from bench.results.statistics import not_worse_than_best
from bench.storage.rundir import Row

Runs = Sequence[tuple[Row, pd.DataFrame]]


@dataclass(frozen=True)
class Grid:
    """values: (data set, method) -> one value a seed, a score where the data set has references (`scored`), else a raw return.

    asked: seeds that a cell should have. records: run.json of every cell.
    """

    selection: str
    datasets: list[str]
    methods: list[str]
    values: Mapping[tuple[str, str], pd.Series]
    records: Mapping[tuple[str, str], Row]
    scored: list[str]
    asked: int

    @property
    def reference(self) -> str:
        """The family that the scores are relative to."""
        return next((r["reference"]["name"] for r in self.records.values() if r["reference"] is not None), "none")

    def domains(self) -> dict[str, list[str]]:
        """Scored data sets by domain."""
        found: dict[str, list[str]] = {}
        for dataset in self.scored:
            found.setdefault(domain_of(dataset), []).append(dataset)
        return found

    def complete(self, datasets: Sequence[str]) -> list[str]:
        """The methods that have a finite value on each of `datasets`."""
        return [m for m in self.methods if all((d, m) in self.values and self.values[d, m].notna().all() for d in datasets)]

    def strata(self, method: str, datasets: Sequence[str]) -> list[np.ndarray]:
        """The method's values on `datasets`, an array of seeds each."""
        return [self.values[d, method].to_numpy() for d in datasets]

    def paired(self, methods: Sequence[str], datasets: Sequence[str]) -> list[list[np.ndarray]]:
        """`strata` of each of `methods`, cut to the seeds that all of them have."""
        common = {d: sorted(set.intersection(*(set(self.values[d, m].index) for m in methods))) for d in datasets}
        if not all(common.values()):
            return [[np.array([x.mean()]) for x in self.strata(m, datasets)] for m in methods]  # no pairs: means alone, no test
        return [[self.values[d, m].loc[common[d]].to_numpy() for d in datasets] for m in methods]

    def bold(self, datasets: Sequence[str]) -> set[str]:
        """The best method on `datasets` and those not significantly worse (`not_worse_than_best`), of the complete ones."""
        methods = self.complete(datasets)
        if not methods:
            return set()
        marks = not_worse_than_best(self.paired(methods, datasets))
        return {m for m, marked in zip(methods, marks, strict=True) if marked}


def grids(runs: Runs, selection: str = "last") -> list[Grid]:
    """One grid for each group of runs that may share a table (bench.report.table.split), the largest first."""
    found = []
    for group in split([record for record, _ in runs]):
        hashes = {r["config_hash"] for r in group}
        found.append(_grid([run for run in runs if run[0]["config_hash"] in hashes], selection))
    return sorted(found, key=lambda g: -len(g.values))


def _grid(runs: Runs, selection: str) -> Grid:
    labels = _labels([record for record, _ in runs])
    values, records = {}, {}
    for (record, episodes), label in zip(runs, labels, strict=True):
        returns = next(v for name, v in selections(record, episodes).items() if name == selection or name.startswith(f"{selection}_"))
        reference = reference_of(record)
        key = record["dataset"], label
        values[key] = returns if reference is None else pd.Series(reference.score(returns.to_numpy()), index=returns.index)
        records[key] = record
    datasets = sorted({d for d, _ in values})
    methods = sorted(set(labels), key=lambda m: (_rank(m.split()[0]), m))
    scored = sorted({d for (d, _), r in records.items() if r["reference"] is not None})
    return Grid(selection, datasets, methods, values, records, scored, max(len(r["seeds"]) for r in records.values()))


def _labels(records: Sequence[Row]) -> list[str]:
    """A name for each run's method: configurations of one method that meet on a data set are told apart by the settings that differ there,
    else by their hash. What differs between data sets alone (`varied`) makes no other method."""
    settings = _settings(records)
    apart = _differing(records, settings, lambda r: (r["algo"], r["dataset"]))
    labels = []
    for record, own in zip(records, settings, strict=True):
        named = [k for k in own if (record["algo"], k) in apart]
        labels.append(" ".join([record["algo"], *(f"{k.split('.')[-1]}={own[k]}" for k in named[:3])]))
    pairs = [(r["dataset"], label) for r, label in zip(records, labels, strict=True)]
    return [
        label if pairs.count(pair) == 1 else f"{label} {r['config_hash'][:4]}"
        for r, label, pair in zip(records, labels, pairs, strict=True)
    ]


def varied(records: Sequence[Row]) -> list[str]:
    """A line for each method some of whose settings differ between data sets, and not between its runs on any one: which."""
    found: dict[str, list[str]] = {}
    settings = _settings(records)
    everywhere, apart = (_differing(records, settings, of) for of in (lambda r: r["algo"], lambda r: (r["algo"], r["dataset"])))
    for algo, key in sorted(everywhere - apart):
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
    """The method's settings of each run, empty where its file is missing."""
    return [flat(config_of(record).get("algo", {})) for record in records]


def config_of(record: Row) -> dict[str, Any]:
    """The resolved configuration of a run, empty where the file is missing."""
    path = Path(record.get("folder", "")) / "config.yaml"
    return read_yaml(path) if path.is_file() else {}


def _rank(algo: str) -> int:
    return ORDER.index(algo) if algo in ORDER else len(ORDER)
