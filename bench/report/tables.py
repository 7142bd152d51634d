"""Tables of a suite: lines of cells with a caption and notes. bench.report.render writes them as Markdown, LaTeX, CSV and HTML."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import NamedTuple

from bench.numbers import decimals
from bench.report.training_notes import training_notes
from bench.results import published
from bench.results.bootstrap import METRICS, Estimate, aggregate
from bench.results.grid import Grid
from bench.results.levelling import SYMBOLS
from bench.results.names import in_order, settings_by_dataset
from bench.results.references import reference_notes
from bench.results.statistics import summarise
from bench.storage.layout import Row

NAN = float("nan")
NOT_PLAYED = "not played"  # flag of a run without an environment
MARKS_RULE = "Bold: the best mean of a row. (=): not told apart from the best (paired t-test over seeds, Holm-corrected, level 0.05)."
PUBLISHED_WARNING = (
    "Not comparable with the scores above: data and environments differ (D4RL's v2 data on the -v2 environments of its time). "
    "No average, rank or bold mark covers both."
)


NOT_KEPT = (
    "Best and mean_last_k, in leaderboard.csv, are not verifiable: policies of evaluations on the way were not kept "
    "(eval.keep_policies=true keeps them)."
)
WEIGHT_FAULTS = {
    "saturated": "90 % of the importance weights were at a clip, so that the method is SFT there",
    "collapsed": "the effective sample size was below 5 % or three trajectories, so that a few trajectories decide",
}
ACTIONS = {"mean": "mean action", "sampled": "sampled actions"}
LABELS = {"mean": "", "mean return": " (raw return)", "success": " (success rate, %)"}
"""The end of a row's heading, behind the name of the data set, by statistic."""


class Cell(NamedTuple):
    """A mean (or IQM) with its 95 % interval.

    half: the number behind +-. bold: the best mean of its line. tied: not told apart from the best. flag: missing seeds, failed episodes,
    coinciding strata, weights that are saturated or collapsed. training: marks of a row that was not trained long enough (SYMBOLS).
    """

    value: float
    half: float = NAN
    low: float = NAN
    high: float = NAN
    std: float = NAN
    seeds: int = 0
    bold: bool = False
    flag: str = ""
    tied: bool = False
    training: tuple[str, ...] = ()

    @property
    def signs(self) -> str:
        """The signs of `training`."""
        return "".join(SYMBOLS[mark] for mark in self.training)


class Line(NamedTuple):
    """One row of a table: a data set, a domain or overall, under one statistic, with a cell for each method that has a result."""

    scope: str
    name: str
    statistic: str
    cells: Mapping[str, Cell]

    @property
    def label(self) -> str:
        """The row's heading."""
        if self.scope == "data set":
            return self.name + LABELS[self.statistic]
        return f"{self.name} ({'IQM' if self.statistic == 'iqm' else self.statistic})"

    def digits(self, cell: Cell) -> int:
        """Decimals of `cell`: one for scores and percentages, three significant digits for raw returns."""
        return decimals(cell.value, cell.half) if self.statistic == "mean return" else 1


class Table(NamedTuple):
    """One protocol's results: `lines` by `methods`, under a caption that states the protocol, with notes below."""

    caption: str
    methods: list[str]
    lines: list[Line]
    notes: Sequence[str] = ()
    selection: str = ""
    reference: str = ""
    actions: str = ""


def table_of(grid: Grid) -> Table:
    """The table of `grid`: its data sets, its domains if there are several, and overall."""
    return Table(_caption(grid), grid.methods, list(_lines(grid)), _notes(grid), grid.selection, grid.reference, grid.actions)


def _lines(grid: Grid) -> Iterator[Line]:
    """The mean on every data set; mean and IQM over every domain and over all data sets, for methods with an average there."""
    for dataset in grid.datasets:
        if dataset in grid.scored or dataset not in grid.unscored:
            yield _dataset_line(grid, dataset, "mean")
        if dataset in grid.unscored:
            yield _dataset_line(grid.in_returns(), dataset, "mean return")
        if any(d == dataset for d, _ in grid.successes):
            yield _dataset_line(grid.in_successes(), dataset, "success")
    domains = grid.domains()
    scopes = [("domain", name, sets) for name, sets in domains.items()] if len(domains) > 1 else []
    for scope, name, sets in [*scopes, ("overall", "overall", grid.scored)]:
        methods = grid.averaged(sets)
        if len(sets) < 2 or not methods:
            continue
        marks = grid.marks(sets)
        for statistic in ("mean", "iqm"):
            found = {m: aggregate(METRICS[statistic], grid.strata(m, sets)) for m in methods}
            own = marks if statistic == "mean" else {}
            yield Line(scope, name, statistic, {m: _aggregate_cell(e, grid, own.get(m, ""), m, sets) for m, e in found.items()})


def _dataset_line(grid: Grid, dataset: str, statistic: str) -> Line:
    """The mean over seeds of every method on `dataset`."""
    marks, cells = grid.marks([dataset]), {}
    for method in grid.methods:
        if (dataset, method) in grid.values:
            values, mark = grid.values[dataset, method], marks.get(method, "")
            s = summarise(values)
            record = grid.records[dataset, method]
            played, coincide = record["final_episodes"] > 0, record.get("strata_coincide") is True
            faults = ["strata coincide"] * coincide + weight_faults(record)
            flag = _flag(len(values), grid.seeds, record.get("failed_episodes", 0), faults) if played else NOT_PLAYED
            half, training = (s.high - s.low) / 2, grid.training_marks.get((dataset, method), ())
            cells[method] = Cell(s.mean, half, s.low, s.high, s.std, len(values), mark == "best", flag, mark == "tied", training)
    return Line("data set", dataset, statistic, cells)


def _aggregate_cell(e: Estimate, grid: Grid, mark: str, method: str, datasets: Sequence[str]) -> Cell:
    training = tuple(grid.training_marks_of(method, datasets))
    return Cell(e.value, (e.high - e.low) / 2, e.low, e.high, NAN, grid.seeds, mark == "best", "", mark == "tied", training)


def _flag(seeds: int, expected: int, failures: int, marks: Sequence[str]) -> str:
    flags = [f"{seeds} of {expected} seeds"] * (seeds < expected) + [f"{failures} failed"] * (failures > 0)
    return ", ".join([*flags, *marks])


def weight_faults(record: Row) -> list[str]:
    """The faults of a run's importance weights: "weights saturated", "weights collapsed"."""
    return [f"weights {fault}" for fault in WEIGHT_FAULTS if fault in record.get("weights", {})]


def _caption(grid: Grid) -> str:
    records = list(grid.records.values())

    def values(key: str) -> str:
        return ", ".join(sorted({str(r[key]) for r in records}))

    code = ", ".join(sorted({revision for r in records for revision in str(r["code_revision"]).split()}))
    if not any(r["final_episodes"] for r in records):
        return f"Trained without an environment: no episode was played. Policies and curves are in runs/. Code {code}."
    quantity = f"Score (reference set: {grid.reference}; 0 random, 100 expert)" if grid.scored else "Raw return (no reference scores)"
    seeds = ", ".join(sorted({str(len(r["seeds"])) for r in records}))
    return (
        f"{quantity}, mean over {seeds} seeds +- half-width of its 95 % interval (Student's t; over data sets: stratified bootstrap). "
        f"Updates: {_updates(records)}. "
        f"Selection: {grid.selection} iterate, {values('final_episodes')} episodes a seed, {ACTIONS[grid.actions]}. {MARKS_RULE} "
        f"Code {code}."
    )


def _updates(records: Sequence[Row]) -> str:
    """The updates run, of those that the method has by default: "500 of 1,000,000 (cql, edac); 4,500 (sft)"."""
    groups: dict[str, set[str]] = {}
    for r in records:
        steps = r.get("online_steps", 0)
        own, default = r["updates"] - steps, r.get("default_updates")
        text = f"{own:,} of {default:,}" if default is not None and default != own else f"{own:,}"
        text += f", then {steps:,} environment steps" if steps else ""
        groups.setdefault(text, set()).add(r["algo"])
    if len(groups) == 1:
        return next(iter(groups))
    return "; ".join(f"{text} ({', '.join(in_order(list(algos)))})" for text, algos in groups.items())


def _notes(grid: Grid) -> list[str]:
    records = list(grid.records.values())
    notes = []
    if any(r.get("failed_episodes", 0) for r in records):
        notes.append("Failed: the episode's return was no finite number; it counts as score 0.")
    if unchecked := sorted({r["dataset"] for r in records if not r.get("references_checked", True)}):
        notes.append(f"Reference scores, or their absence, as the runs recorded them; bench verify computes them: {', '.join(unchecked)}.")
    if any(r.get("strata_coincide") is True for r in records):
        notes.append(
            "Strata coincide: equal scores make two percentile filters keep the same trajectories, so quality weighting has fewer levels."
        )
    for fault, meaning in WEIGHT_FAULTS.items():
        if cells := [f"{r['algo']} on {r['dataset']}" for r in records if fault in r.get("weights", {})]:
            notes.append(f"Weights {fault}: {meaning} ({', '.join(cells)}; at any evaluation of any seed; docs/methods.md).")
    if grid.actions == "sampled" and (fixed := in_order([r["algo"] for r in records if r.get("stochastic") is False])):
        notes.append(f"Deterministic, so that their mean was played: {', '.join(fixed)}.")
    notes += training_notes(grid) + reference_notes(records)
    for dataset in grid.datasets:
        if len({r["dataset_digest"] for r in records if r["dataset"] == dataset}) > 1:
            notes.append(f"{dataset}: its runs were made of different data under that name; their digests are in leaderboard.csv.")
    notes += [f"{dataset}: {note}." for dataset, note in sorted({(r["dataset"], r["note"]) for r in records if r.get("note")})]
    notes += settings_by_dataset(records)
    return [*notes, NOT_KEPT] if any(not r.get("kept_policies", True) for r in records) else notes


def published_tables(rows: Sequence[Row]) -> list[Table]:
    """One table for each source and selection rule of published leaderboard rows: last and best never share one."""
    tables = []
    for source in published.SOURCES:
        own = [r for r in rows if r["citation"] == source.citation]
        for selection in sorted({r["selection"] for r in own}, reverse=True):  # last before best
            cells = {(r["dataset"], r["algo"]): Cell(r["score_mean"], r["score_std"]) for r in own if r["selection"] == selection}
            spread = f"+-: {source.spread}." if source.spread else "The paper's table gives no spread."
            methods = [m for m in published.METHODS.values() if any(m == algo for _, algo in cells)]
            lines = [
                Line("data set", dataset, "mean", {algo: cell for (d, algo), cell in cells.items() if d == dataset})
                for dataset in sorted({d for d, _ in cells})
            ]
            tables.append(Table(f"{source.citation}. Selection: {selection}. {spread}", methods, lines))
    return tables
