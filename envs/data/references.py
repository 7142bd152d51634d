"""Reference returns of a random and an expert policy, by reference set, each with its source.

score = 100 * (return - random) / (expert - random) (Fu et al. 2020, arXiv 2004.07219). Scores of different reference sets are never
compared: tables keep them in different parts.

references.csv has D4RL's references, built_in_references.csv those of the built-in data, by environment. The latter are measured by
`python -m bench behaviour NAME --measure`, and replace those in the files of a data set that an earlier version recorded.
"""

from __future__ import annotations

import csv
from dataclasses import asdict, dataclass
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np

D4RL, BUILT_IN = "d4rl", "iwsft-2"
# Earlier editions of BUILT_IN, whose scores differ. "iwsft": the last snapshot with its action noise.
SUPERSEDED = ("iwsft",)
ROUNDING = 1e-6  # relative: returns nearer than this differ by the rounding of float32 rewards
BUILT_IN_TABLE = Path(__file__).parent / "built_in_references.csv"


@dataclass(frozen=True)
class Reference:
    """Random and expert returns (raw, undiscounted) of reference set `name`.

    random_error, expert_error: standard errors of the two means, None where the source states none.
    """

    name: str
    random: float
    expert: float
    random_error: float | None = None
    expert_error: float | None = None

    def __str__(self) -> str:
        random, expert = (
            f"{mean:.6g}" + ("" if error is None else f" (standard error {error:.2g})")
            for mean, error in ((self.random, self.random_error), (self.expert, self.expert_error))
        )
        return f"{self.name}: random {random}, expert {expert}"

    def to_json(self) -> dict[str, Any]:
        """The fields that are known, by name."""
        return {k: v for k, v in asdict(self).items() if v is not None}

    def score(self, returns: np.ndarray) -> np.ndarray:
        """Normalised scores x 100 of raw returns, of any shape."""
        return 100 * (np.asarray(returns) - self.random) / (self.expert - self.random)

    def score_error(self, score: float) -> float | None:
        """Standard error of `score` that comes from the two reference returns alone (delta method); None where it is unknown."""
        if self.random_error is None or self.expert_error is None:
            return None
        return float(np.hypot(score * self.expert_error, (100 - score) * self.random_error) / (self.expert - self.random))


def apart(random: float, expert: float) -> bool:
    """True if `expert` is above `random` by more than rounding, so that scores between them mean something."""
    return expert - random > ROUNDING * max(abs(random), abs(expert))


def table() -> tuple[dict[str, str], ...]:
    """Rows of D4RL's references: family, dataset (D4RL's name), env_id, random, expert, time_limit, source."""
    return _rows(Path(__file__).parent / "references.csv")


def built_in_table() -> tuple[dict[str, str], ...]:
    """Rows of the built-in references: name (of the behaviour), env_id, random, random_error, expert, expert_error, source."""
    return _rows(BUILT_IN_TABLE)


@cache
def _rows(path: Path) -> tuple[dict[str, str], ...]:
    with open(path, newline="") as f:
        return tuple(csv.DictReader(f))


def forget_tables() -> None:
    """Read the tables again at their next use: a file was written."""
    _rows.cache_clear()


def built_in(env_id: str) -> Reference | None:
    """The reference of the built-in data of environment `env_id`, None if there is none."""
    for row in built_in_table():
        if row["env_id"] == env_id:
            errors = (float(row[name]) if row[name] else None for name in ("random_error", "expert_error"))
            return Reference(BUILT_IN, float(row["random"]), float(row["expert"]), *errors)
    return None


def current(reference: Reference | None, env_id: str) -> Reference | None:
    """`reference`, or the built-in one of `env_id` in its place if it is one of an edition of the built-in set."""
    if reference is None or reference.name not in (BUILT_IN, *SUPERSEDED):
        return reference
    return built_in(env_id) or reference


def d4rl_row(name: str) -> dict[str, str] | None:
    """The row of D4RL's data set `name` (hopper-medium-replay-v2), or None."""
    return next((row for row in table() if row["family"] == D4RL and row["dataset"] == name), None)
