"""Comparable runs as a grid of data sets and methods: tables, figures and tests are computed from it."""

from __future__ import annotations

import re
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import TypeVar

import numpy as np
import pandas as pd

from bench.errors import RunError
from bench.results.episodes import final_returns, reference_name, reference_of, selections, success_shares
from bench.results.levelling import SYMBOLS, training_marks
from bench.results.names import in_order, method_names
from bench.results.pooling import pooled
from bench.results.protocol import comparable_groups
from bench.results.runs import Run, Runs
from bench.results.statistics import marks_of
from bench.storage.layout import Row

T = TypeVar("T")

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

    values: (data set, method) -> one score per seed; on a data set without reference scores, a raw return. records: run.json of every
    cell, and episodes: its episodes. scored: data sets with reference scores. seeds: number of seeds of a complete cell. raw: raw returns.
    successes: percentage of successful final episodes, where the environment reports success. training_marks: of every cell
    (bench.results.levelling). mix_marked: average and rank marked cells together with unmarked ones.

    Where a data set has reference scores in some runs alone, `values` has the scores of these, and `raw` the returns of all.
    """

    selection: str
    datasets: list[str]
    methods: list[str]
    values: Mapping[tuple[str, str], pd.Series]
    records: Mapping[tuple[str, str], Row]
    scored: list[str]
    seeds: int
    raw: Mapping[tuple[str, str], pd.Series] = field(default_factory=dict)
    successes: Mapping[tuple[str, str], pd.Series] = field(default_factory=dict)
    episodes: Mapping[tuple[str, str], pd.DataFrame] = field(default_factory=dict)
    training_marks: Mapping[tuple[str, str], tuple[str, ...]] = field(default_factory=dict)
    mix_marked: bool = False

    @property
    def runs(self) -> list[Run]:
        """The record and the episodes of every cell."""
        return [(record, self.episodes[key]) for key, record in self.records.items()]

    @property
    def unscored(self) -> list[str]:
        """Data sets with returns of a run without reference scores; some may be in `scored` as well."""
        return sorted({d for (d, _), r in self.records.items() if r["reference"] is None and r["final_episodes"]})

    def in_returns(self) -> Grid:
        """The grid of raw returns."""
        return replace(self, values=self.raw, scored=[])

    def in_successes(self) -> Grid:
        """The grid of success rates, in per cent."""
        return replace(self, values=self.successes, scored=[])

    def part(self, datasets: Sequence[str] | None = None, methods: Sequence[str] | None = None) -> Grid:
        """The grid of these data sets and methods alone, all of them by default."""
        own_datasets = self.datasets if datasets is None else [d for d in self.datasets if d in datasets]
        own_methods = self.methods if methods is None else [m for m in self.methods if m in methods]

        def cut(cells: Mapping[tuple[str, str], T]) -> dict[tuple[str, str], T]:
            return {(d, m): cell for (d, m), cell in cells.items() if d in own_datasets and m in own_methods}

        return replace(
            self, datasets=own_datasets, methods=own_methods, scored=[d for d in self.scored if d in own_datasets],
            values=cut(self.values), records=cut(self.records), raw=cut(self.raw), successes=cut(self.successes),
            episodes=cut(self.episodes), training_marks=cut(self.training_marks),
        )  # fmt: skip

    def named(self, names: Sequence[str]) -> list[str]:
        """The methods that `names` choose, all if there are none: by name in the tables, or with all settings by that of their algorithm.

        Raises RunError for an unknown one.
        """
        for name in names:
            if not any(name in (m, m.split()[0]) for m in self.methods):
                more = " ..." if len(self.methods) > 24 else ""
                raise RunError(f"--methods {name}: no such method; expected one of {', '.join(self.methods[:24])}{more}")
        return [m for m in self.methods if not names or {m, m.split()[0]} & set(names)]

    def ranked(self) -> list[str]:
        """The methods, those with the best mean rank over the data sets first; a method without a result there is last.

        Methods with a marked cell are ranked among themselves, behind the others, unless `mix_marked`.
        """
        marked = set() if self.mix_marked else {m for m in self.methods if self.training_marks_of(m)}
        return [m for group in (set(self.methods) - marked, marked) for m in self._ranked(group)]

    def _ranked(self, methods: Collection[str]) -> list[str]:
        ranks: dict[str, list[int]] = {m: [] for m in self.methods if m in methods}
        unscored = set(self.unscored)
        for dataset in self.datasets:
            cells = self.raw if dataset in unscored else self.values
            means = {m: x.mean() for m in ranks if (x := cells.get((dataset, m))) is not None and x.notna().all()}
            order = {m: k for k, m in enumerate(sorted(means, key=lambda m: -means[m]))}
            for method, found in ranks.items():
                found.append(order.get(method, len(self.methods)))
        return sorted(ranks, key=lambda m: sum(ranks[m]))

    @property
    def reference(self) -> str:
        """Name of the reference set, "none" without one."""
        return next((reference_name(r) for r in self.records.values() if r["reference"] is not None), "none")

    @property
    def actions(self) -> str:
        """The actions that were played: "mean" or "sampled"."""
        return next((r["actions"] for r in self.records.values()), "mean")

    def domains(self) -> dict[str, list[str]]:
        """Scored data sets by domain."""
        found: dict[str, list[str]] = {}
        for dataset in self.scored:
            found.setdefault(domain_of(dataset), []).append(dataset)
        return found

    def complete(self, datasets: Sequence[str]) -> list[str]:
        """Methods with a finite value for every seed on each of `datasets`."""
        own = {m: [self.values.get((d, m)) for d in datasets] for m in self.methods}
        return [m for m, cells in own.items() if all(x is not None and not np.isnan(x.to_numpy()).any() for x in cells)]

    def training_marks_of(self, method: str, datasets: Sequence[str] | None = None) -> list[str]:
        """The marks of `method` on any of `datasets`, all of them by default."""
        own = [marks for (d, m), marks in self.training_marks.items() if m == method and (datasets is None or d in datasets)]
        return sorted({mark for marks in own for mark in marks})

    def averaged(self, datasets: Sequence[str]) -> list[str]:
        """The complete methods whose cells on `datasets` may share an average (`alike`)."""
        return [m for m in self.complete(datasets) if self.alike(m, datasets)]

    def alike(self, method: str, datasets: Sequence[str]) -> bool:
        """True if the cells of `method` on `datasets` are all marked, or none is, or if `mix_marked`."""
        return self.mix_marked or len({bool(self.training_marks.get((d, method))) for d in datasets}) < 2

    def ranked_together(self, datasets: Sequence[str]) -> list[str]:
        """The methods of `averaged` that may be ranked with each other: the unmarked ones, or the marked ones if all are."""
        methods = self.averaged(datasets)
        unmarked = [m for m in methods if not self.training_marks_of(m, datasets)]
        return methods if self.mix_marked or not unmarked else unmarked

    def label(self, method: str, datasets: Sequence[str] | None = None) -> str:
        """`method` with the signs of its marks on any of `datasets`, for the legend of a figure."""
        marks = self.training_marks_of(method, datasets)
        return f"{method} {''.join(SYMBOLS[mark] for mark in marks)}" if marks else method

    def strata(self, method: str, datasets: Sequence[str]) -> list[np.ndarray]:
        """Values of `method` on each of `datasets`, [seeds] each."""
        return [self.values[d, method].to_numpy() for d in datasets]

    def paired(self, methods: Sequence[str], datasets: Sequence[str]) -> list[list[np.ndarray]]:
        """`strata` of each method, cut to the seeds that all of them have; their means if some data set has no such seed."""
        common = {d: sorted(set.intersection(*(set(self.values[d, m].index) for m in methods))) for d in datasets}
        if not all(common.values()):
            return [[np.array([x.mean()]) for x in self.strata(m, datasets)] for m in methods]
        columns = {d: np.array(common[d]) for d in datasets}
        return [[_at(self.values[d, m], columns[d]) for d in datasets] for m in methods]

    def marks(self, datasets: Sequence[str]) -> dict[str, str]:
        """Marks of the methods of `ranked_together`: "best" for the best mean, "tied" where not told apart from it (`marks_of`)."""
        methods = self.ranked_together(datasets)
        return dict(zip(methods, marks_of(self.paired(methods, datasets)), strict=True)) if methods else {}


def _at(values: pd.Series, seeds: np.ndarray) -> np.ndarray:
    """The values of `seeds`, rising, which are among those of `values`; `loc` is far slower."""
    own = values.index.to_numpy()
    if np.array_equal(own, seeds):
        return values.to_numpy()
    order = np.argsort(own, kind="stable")
    return values.to_numpy()[order[np.searchsorted(own[order], seeds)]]


def grids(runs: Runs, selection: str = "last", mix_marked: bool = False) -> list[Grid]:
    """One grid for each group of comparable runs (`comparable_groups`), the largest first. Portions of seeds are pooled."""
    runs = pooled(runs)
    by_record = {id(run[0]): run for run in runs}
    groups = comparable_groups([record for record, _ in runs])
    found = [replace(_grid([by_record[id(record)] for record in group], selection), mix_marked=mix_marked) for group in groups]
    return sorted(found, key=lambda g: -len(g.values))


def _grid(runs: Runs, selection: str) -> Grid:
    names = method_names([record for record, _ in runs])
    values, records, raw, successes, rows, marks = {}, {}, {}, {}, {}, {}
    scored = sorted({r["dataset"] for r, _ in runs if r["reference"] is not None})
    for (record, episodes), method in zip(runs, names, strict=True):
        returns = _returns(record, episodes, selection)
        reference = reference_of(record)
        key = record["dataset"], method
        records[key], rows[key], marks[key] = record, episodes, training_marks(record, episodes)
        if record["final_episodes"]:
            raw[key] = returns
        if reference is not None:
            values[key] = pd.Series(reference.score(returns.to_numpy()), index=returns.index)
        elif record["dataset"] not in scored or not record["final_episodes"]:
            values[key] = returns
        if (shares := success_shares(record, episodes)) is not None:
            successes[key] = 100 * shares
    datasets = sorted({d for d, _ in records})
    seeds = max(len(r["seeds"]) for r in records.values())
    return Grid(selection, datasets, in_order(names), values, records, scored, seeds, raw, successes, rows, marks)


def _returns(record: Row, episodes: pd.DataFrame, selection: str) -> pd.Series:
    """Each seed's return by the rule `selection`."""
    if selection == "last":
        return final_returns(record, episodes)
    return next(v for name, v in selections(record, episodes).items() if name == selection or name.startswith(f"{selection}_"))


def domain_of(dataset: str) -> str:
    """The domain of a data set by a part of its id; its namespace if the domain is not a known one."""
    parts = [re.sub(r"-v\d+$", "", part) for part in dataset.lower().split("/")]
    for domain, names in DOMAINS.items():
        if any(re.fullmatch(rf"(?:{names})(?:-.*)?", part) for part in parts):
            return domain
    return parts[0]
