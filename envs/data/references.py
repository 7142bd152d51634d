"""Reference returns of a random and an expert policy, by reference set, each with its source (references.csv).

score = 100 * (return - random) / (expert - random) (Fu et al. 2020, arXiv 2004.07219). Scores of different reference sets are never
compared: tables keep them in different parts.
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
    """Random and expert returns (raw, undiscounted) of reference set `name`."""

    name: str
    random: float
    expert: float

    def score(self, returns: np.ndarray) -> np.ndarray:
        """Normalised scores x 100 of raw returns, of any shape."""
        return 100 * (np.asarray(returns) - self.random) / (self.expert - self.random)


@cache
def table() -> tuple[dict[str, str], ...]:
    """Rows of references.csv: family, dataset (D4RL's name or a prefix), env_id, random, expert, time_limit, source."""
    with open(Path(__file__).parent / "references.csv", newline="") as f:
        return tuple(csv.DictReader(f))


def lookup(env_id: str, family: str) -> Reference:
    """The reference of set `family` for environment `env_id`. D4RL's references, older than -v5, hold for every version.

    Raises KeyError if there is none.
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
