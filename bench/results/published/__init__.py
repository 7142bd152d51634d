"""Scores from papers, to be read beside ours and never mixed with them.

They hold for D4RL's v2 data on the -v2 environments of its time. Ours are of other data and of Gymnasium's v5 environments, so these are a
reference family of their own: no average, rank or column holds both. The files are the papers' tables as printed.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from functools import cache
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pandas as pd

from bench.report.markdown import table_of
from bench.results.leaderboard import COLUMNS, SCHEMA
from bench.storage.rundir import Row

FAMILY = "d4rl v2 data, -v2 environments"
WARNING = (
    "Not comparable with the scores above, for the data and the environments differ (D4RL's v2 data on the -v2 environments of its time): "
    "shown to be read beside them, never averaged or ranked with them."
)
METHODS = {
    "BC": "bc", "10% BC": "filtered_bc", "TD3+BC": "td3_bc", "AWAC": "awac", "CQL": "cql", "IQL": "iql", "ReBRAC": "rebrac",
    "SAC-N": "sac_n", "EDAC": "edac", "DT": "decision_transformer",
}  # fmt: skip
TASK = re.compile(r"(?:.*/)?(halfcheetah|hopper|walker2d)[/-](medium-replay|medium-expert|medium)-v\d+")


class Source(NamedTuple):
    """A paper's table. `selection` is for all of its rows; empty: a column of the file. `spread`: what stands behind +-."""

    file: str
    citation: str
    selection: str
    seeds: str
    spread: str


SOURCES = (
    Source("corl.csv", "Tarasov et al. 2023, CORL, arXiv 2210.07105", "", "4 seeds", "population standard deviation (ddof 0) over 4 seeds"),
    Source("iql_paper.csv", "Kostrikov et al. 2021, IQL, arXiv 2110.06169, table 1", "unstated", "", ""),
)


class Section(NamedTuple):
    """A table of one source under one selection rule: means, and spreads where there are some, by data set (its D4RL name) and method."""

    title: str
    note: str
    methods: list[str]
    rows: list[tuple[str, list[str]]]


def rows(datasets: Sequence[str]) -> list[Row]:
    """Leaderboard rows of every published score on a task (environment and quality) of `datasets`, whatever their name and version."""
    wanted = {match.groups() for d in datasets if (match := TASK.fullmatch(d))}
    return [row for row in _everything() if TASK.fullmatch(row["dataset"]).groups() in wanted]  # type: ignore[union-attr]


@cache
def _everything() -> tuple[Row, ...]:
    return tuple(row for source in SOURCES for row in _read(source))


def _read(source: Source) -> Iterator[Row]:
    for record in pd.read_csv(Path(__file__).parent / source.file).to_dict("records"):
        yield dict.fromkeys(COLUMNS, np.nan) | dict.fromkeys(("config_hash", "dataset_digest", "code_revision", "device"), "") | {
            "suite": "published", "dataset": record["dataset"], "algo": METHODS[record["algorithm"]], "reference": FAMILY,
            "selection": source.selection or record["selection"], "seeds": source.seeds, "score_mean": record["mean"],
            "score_std": record.get("std", np.nan), "std_ddof": 0, "source": "published", "citation": source.citation, "schema": SCHEMA,
        }  # fmt: skip


def sections(found: Sequence[Row]) -> list[Section]:
    """The tables of published rows: one for each source and selection rule, so that last and best never share one."""
    tables = []
    for source in SOURCES:
        own = [r for r in found if r["citation"] == source.citation]
        for selection in sorted({r["selection"] for r in own}, reverse=True):  # last before best
            cells = {(r["dataset"], r["algo"]): _cell(r) for r in own if r["selection"] == selection}
            datasets, methods = sorted({d for d, _ in cells}), [m for m in METHODS.values() if any(m == a for _, a in cells)]
            note = f"Selection: {selection}. " + (f"+-: {source.spread}." if source.spread else "The paper's table gives no spread.")
            lines = [(d, [cells.get((d, m), "") for m in methods]) for d in datasets]
            tables.append(Section(source.citation, note, methods, lines))
    return tables


def _cell(row: Row) -> str:
    return f"{row['score_mean']:.1f}" + ("" if np.isnan(row["score_std"]) else f" +- {row['score_std']:.1f}")


def markdown(found: Sequence[Row]) -> str:
    """The published tables, under a line that says what they are not; nothing where there is none."""
    if not found:
        return ""
    lines = ["", "## Published", "", WARNING, ""]
    for table in sections(found):
        names, cells = zip(*table.rows, strict=True)
        lines += [f"{table.title}. {table.note}", "", *table_of(table.methods, names, cells), ""]
    return "\n".join(lines)
