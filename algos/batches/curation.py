"""Curation: the choice of the trajectories that a method imitates, and of how often each counts."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from itertools import pairwise

import numpy as np
import torch
from torch import Tensor

from algos.base import Episodes
from algos.errors import ConfigError, require

SCORES: dict[str, Callable[[Episodes], Tensor]] = {
    "return": lambda data: data.returns,
    "length": lambda data: data.lengths.double(),
    "mean_reward": lambda data: data.returns / data.lengths,
    "final_reward": lambda data: data.rewards[data.offsets[1:] - 1].double(),
}
"""Trajectory scores [E] by name; `final_reward` is a success flag where success is rewarded at the end."""


@dataclass
class Curation:
    """The choice of the trajectories that a method imitates."""

    percentiles: list[float] = field(default_factory=list)  # nested filters; none: all trajectories
    score: str = "return"  # a key of SCORES
    min_score: float | None = None  # drop trajectories below it in any case

    def check(self, key: str) -> None:
        """Raise ConfigError for a value that cannot be used."""
        check_percentiles(self.percentiles, f"{key}.percentiles")
        require(self.score in SCORES, f"{key}.score", self.score, f"one of {', '.join(SCORES)}")


def check_percentiles(percentiles: Sequence[float], key: str) -> None:
    """Raise ConfigError unless `percentiles` lie in [0, 100) and rise."""
    require(all(0 <= p < 100 for p in percentiles), key, list(percentiles), "percentiles from 0 up to, not including, 100")
    rising = all(a < b for a, b in pairwise(percentiles))
    require(rising, key, list(percentiles), "rising percentiles, such as [90,95,98]")


def curate(data: Episodes, curation: Curation) -> Tensor:
    """The curated multiset: episode numbers [M] with repetition, on the device of `data`. Raises ConfigError as `strata` does."""
    scores = SCORES[curation.score](data).cpu().numpy()
    return torch.from_numpy(strata(scores, curation.percentiles, curation.min_score)).to(data.observations.device)


def strata(scores: np.ndarray, percentiles: Sequence[float], min_score: float | None = None) -> np.ndarray:
    """Multiset union of nested filters {score >= percentile c}, as episode numbers [M] with repetition, filter by filter.

    Ordinal reward R = sum_i 1[S > c_i] (arXiv 2507.12856): with {90, 95, 98} a top-2 % trajectory counts three times, the next 3 %
    twice, the next 5 % once. Without percentiles every trajectory counts once. Trajectories below `min_score` (of a success flag, say) are
    dropped. Raises ConfigError for scores that are not finite, and if no trajectory is left.
    """
    if not np.isfinite(scores).all():
        raise ConfigError(f"trajectory score of episode {int((~np.isfinite(scores)).argmax())} is not finite: curation needs finite scores")
    filters = (
        [np.flatnonzero(scores >= cut) for cut in np.percentile(scores, percentiles)] if len(percentiles) else [np.arange(len(scores))]
    )
    kept = np.concatenate(filters)
    if min_score is not None:
        kept = kept[scores[kept] >= min_score]
    if not len(kept):
        raise ConfigError(f"no trajectory is left after filtering: the best score is {scores.max():.6g}, min_score is {min_score}")
    return kept
