"""Reference returns: what a random and an expert policy score, by family, with provenance (`references.csv`).

score = 100 * (return - random) / (expert - random) (Fu et al. 2020, arXiv 2004.07219). Families never share a column.
"""

from __future__ import annotations

import csv
from dataclasses import dataclass
from functools import cache
from pathlib import Path

import numpy as np

D4RL, BUILT_IN = "d4rl", "iwsft"


@dataclass(frozen=True)
class Reference:
    """Random and expert returns (raw, undiscounted) of family `name`."""

    name: str
    random: float
    expert: float

    def score(self, returns: np.ndarray) -> np.ndarray:
        """Normalised score x 100, of any shape."""
        return 100 * (np.asarray(returns) - self.random) / (self.expert - self.random)

    def score_std(self, std: float) -> float:
        """The score's standard deviation from the returns': scaled by the range only, never shifted."""
        return 100 * std / (self.expert - self.random)


@cache
def table() -> tuple[dict[str, str], ...]:
    """Rows of references.csv: family, dataset (D4RL's name, or how built-in ids begin), env_id, random, expert, time_limit, source."""
    with open(Path(__file__).parent / "references.csv", newline="") as f:
        return tuple(csv.DictReader(f))


def lookup(env_id: str, family: str) -> Reference:
    """The reference of `family` for environment `env_id`; the version is ignored for D4RL, whose references predate -v5.

    Raises KeyError where there is none.
    """
    base = env_id.rsplit("-v", 1)[0]
    for row in table():
        same = row["env_id"].rsplit("-v", 1)[0] == base if family == D4RL else row["env_id"] == env_id
        if row["family"] == family and same:
            return Reference(family, float(row["random"]), float(row["expert"]))
    raise KeyError((env_id, family))


def d4rl_row(name: str) -> dict[str, str] | None:
    """The row of D4RL's data set `name` (hopper-medium-replay-v2), or None."""
    return next((row for row in table() if row["family"] == D4RL and row["dataset"] == name), None)
