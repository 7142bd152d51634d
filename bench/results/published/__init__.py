"""Scores from papers, as leaderboard rows with a reference set of their own.

The scores hold for D4RL's v2 data on the -v2 environments of its time; this suite's are of other data and of Gymnasium's v5 environments.
No table, average or rank holds both. The CSV files are the papers' tables as printed.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from functools import cache
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pandas as pd

from bench.results.leaderboard import COLUMNS, SCHEMA
from bench.storage.layout import Row

FAMILY = "d4rl v2 data, -v2 environments"
METHODS = {
    "BC": "bc", "10% BC": "filtered_bc", "TD3+BC": "td3_bc", "AWAC": "awac", "CQL": "cql", "IQL": "iql", "ReBRAC": "rebrac",
    "SAC-N": "sac_n", "EDAC": "edac", "DT": "decision_transformer",
}  # fmt: skip
TASK = re.compile(r"(?:.*/)?(halfcheetah|hopper|walker2d)[/-](medium-replay|medium-expert|medium)-v\d+")


class Source(NamedTuple):
    """A table of a paper. `selection` holds for all of its rows; if empty, the file has a column of it. `spread`: meaning of +-."""

    file: str
    citation: str
    selection: str
    seeds: str
    spread: str


SOURCES = (
    Source("corl.csv", "Tarasov et al. 2023, CORL, arXiv 2210.07105", "", "4 seeds", "population standard deviation (ddof 0) over 4 seeds"),
    Source("iql_paper.csv", "Kostrikov et al. 2021, IQL, arXiv 2110.06169, table 1", "unstated", "", ""),
)


def rows(datasets: Sequence[str]) -> list[Row]:
    """Leaderboard rows of every published score on a task (environment and quality) of `datasets`, in any version of the data."""
    tasks = {match.groups() for d in datasets if (match := TASK.fullmatch(d))}
    return [row for row in _all_rows() if TASK.fullmatch(row["dataset"]).groups() in tasks]  # type: ignore[union-attr]


@cache
def _all_rows() -> tuple[Row, ...]:
    return tuple(row for source in SOURCES for row in _read(source))


def _read(source: Source) -> Iterator[Row]:
    for record in pd.read_csv(Path(__file__).parent / source.file).to_dict("records"):
        empty = [
            "actions", "chosen_by", "config_hash", "dataset_digest", "code_revision", "device", "verifiable",
            "stepper", "engine", "precision",
        ]  # fmt: skip
        yield dict.fromkeys(COLUMNS, np.nan) | dict.fromkeys(empty, "") | {
            "suite": "published", "dataset": record["dataset"], "algo": METHODS[record["algorithm"]], "reference": FAMILY,
            "selection": source.selection or record["selection"], "seeds": source.seeds, "score_mean": record["mean"],
            "score_std": record.get("std", np.nan), "std_ddof": 0, "source": "published", "citation": source.citation, "schema": SCHEMA,
        }  # fmt: skip
