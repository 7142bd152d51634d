"""Curation: the choice of the trajectories that a method imitates, and of how often each counts."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, field
from itertools import pairwise
from typing import Any, NamedTuple

import numpy as np
import torch
from torch import Tensor

from algos.base import Episodes
from algos.errors import ConfigError, require

SUMMED_ROWS = 1 << 20  # rewards summed at once
ERRORS = 0xE2202  # seed of the errors of `Curation.noise`


def _partial(data: Episodes) -> Tensor:
    """The share of each trajectory that is right [E]. Raises ConfigError for data that do not state it."""
    found: Tensor | None = getattr(data, "partial", None)
    if found is None:
        raise ConfigError("curation.score = partial: these data state no infos/partial (docs/language.md); use another score")
    return found


SCORES: dict[str, Callable[[Episodes], Tensor]] = {
    "return": lambda data: data.returns,
    "length": lambda data: data.lengths.double(),
    "mean_reward": lambda data: data.returns / data.lengths,
    "final_reward": lambda data: data.rewards[data.offsets[1:] - 1].double(),
    "partial": _partial,
}
"""Scores [E] by name; `final_reward` is a success flag where success is rewarded at the end, `partial` the share that is right."""


@dataclass
class Curation:
    """The choice of the trajectories that a method imitates."""

    percentiles: list[float] = field(default_factory=list)  # nested filters; none: all trajectories
    score: str = "return"  # a key of SCORES
    min_score: float | None = None  # drop trajectories below it in any case
    noise: float = 0.0  # standard deviation of an error added to every score, in standard deviations of the scores: wrong labels

    def check(self, key: str) -> None:
        """Raise ConfigError for a value that cannot be used."""
        check_percentiles(self.percentiles, f"{key}.percentiles")
        require(self.score in SCORES, f"{key}.score", self.score, f"one of {', '.join(SCORES)}")
        require(0 <= self.noise < float("inf"), f"{key}.noise", self.noise, "a number of at least 0")

    def determinants(self) -> dict[str, Any]:
        """The settings that the choice depends on; an error that is 0 is none of them."""
        used = asdict(self) if self.percentiles or self.min_score is not None else {}
        return {name: value for name, value in used.items() if name != "noise" or value}


def check_percentiles(percentiles: Sequence[float], key: str) -> None:
    """Raise ConfigError unless `percentiles` lie in [0, 100) and rise."""
    require(all(0 <= p < 100 for p in percentiles), key, list(percentiles), "percentiles from 0 up to, not including, 100")
    rising = all(a < b for a, b in pairwise(percentiles))
    require(rising, key, list(percentiles), "rising percentiles, such as [90,95,98]")


class Kept(NamedTuple):
    """The trajectories that each filter of a curation keeps.

    percentiles: of the filters. kept: trajectories by filter. ranks: trajectories by filter if no scores were equal. total: of the data.
    finer: True if the data state a finer score, `partial`, than the one used.
    """

    percentiles: list[float]
    kept: list[int]
    ranks: list[int]
    total: int
    finer: bool = False

    @property
    def coincide(self) -> bool:
        """True if two filters keep the same trajectories, which then count the same."""
        return len(set(self.kept)) < len(self.kept)

    def line(self) -> str | None:
        """A line on the effect of equal scores; None if they have none."""
        if self.coincide:
            found = f"percentiles {_listed(self.percentiles)} keep {_listed(self.kept)} of {self.total} trajectories"
            remedy = "; algo.curation.score=partial tells more of them apart" if self.finer else ""
            return f"strata coincide: {found}, whose scores are equal{remedy}"
        if self.kept != self.ranks:
            found = f"percentile {_listed(self.percentiles)} keeps {_listed(self.kept)} of {self.total} trajectories"
            return f"equal scores at the cut: {found}, not {_listed(self.ranks)}"
        return None


def scores_of(data: Episodes, curation: Curation) -> np.ndarray:
    """The trajectory scores [E] that `curation` filters by: with its error, the same for all members and methods."""
    scores = SCORES[curation.score](data).cpu().numpy()
    if not curation.noise:
        return scores
    return scores + curation.noise * scores.std() * np.random.Generator(np.random.PCG64(ERRORS)).standard_normal(len(scores))


def kept(data: Episodes, curation: Curation) -> Kept:
    """The number of trajectories that each filter of `curation` keeps of `data`. Scores must be finite."""
    scores = scores_of(data, curation)
    found = [best(scores, percentile) for percentile in curation.percentiles]
    low = -np.inf if curation.min_score is None else curation.min_score - rounding(data, curation.score)
    ranks = [len(scores) - _first_rank(len(scores), percentile) for percentile in curation.percentiles]
    reached = scores >= low
    finer = curation.score != "partial" and getattr(data, "partial", None) is not None
    return Kept(list(curation.percentiles), [int(reached[f].sum()) for f in found], ranks, len(scores), finer)


def curate(data: Episodes, curation: Curation) -> Tensor:
    """The curated multiset: episode numbers [M] with repetition, on the device of `data`. Raises ConfigError as `strata` does."""
    scores = scores_of(data, curation)
    low = None if curation.min_score is None else curation.min_score - rounding(data, curation.score)
    return torch.from_numpy(strata(scores, curation.percentiles, low)).to(data.observations.device)


def rounding(data: Episodes, score: str) -> np.ndarray:
    """Rounding error [E], at most, of the trajectory scores `score`, whose rewards are single precision: 0.7 is to reach 0.7."""
    if score in ("length", "partial"):
        return np.zeros(len(data.lengths))
    if score == "final_reward":
        magnitudes = data.rewards[data.offsets[1:] - 1].double().abs()
    else:
        magnitudes = torch.zeros(len(data.lengths), dtype=torch.float64, device=data.rewards.device)
        for start in range(0, len(data.rewards), SUMMED_ROWS):  # in pieces: intermediate tensors are larger than the rewards
            rewards = data.rewards[start : start + SUMMED_ROWS]
            steps = torch.arange(start, start + len(rewards), device=rewards.device)
            magnitudes.index_add_(0, torch.searchsorted(data.offsets, steps, right=True) - 1, rewards.double().abs())
        magnitudes = magnitudes / data.lengths if score == "mean_reward" else magnitudes
    return magnitudes.cpu().numpy() * float(np.finfo(np.float32).eps)


def strata(scores: np.ndarray, percentiles: Sequence[float], min_score: float | np.ndarray | None = None) -> np.ndarray:
    """Multiset union of nested filters, `best` of each percentile, as episode numbers [M] with repetition, filter by filter.

    Ordinal reward R = sum_i 1[S > c_i] (arXiv 2507.12856): with {90, 95, 98} a top-2 % trajectory counts three times, the next 3 %
    twice, the next 5 % once. Without percentiles every trajectory counts once. Trajectories below `min_score` (of a success flag, say; one
    number, or one a trajectory [E]) are dropped. Raises ConfigError for scores that are not finite, and if no trajectory is left.
    """
    if not np.isfinite(scores).all():
        raise ConfigError(f"trajectory score of episode {int((~np.isfinite(scores)).argmax())} is not finite: curation needs finite scores")
    kept = np.concatenate([best(scores, percentile) for percentile in percentiles] if len(percentiles) else [np.arange(len(scores))])
    if min_score is not None:
        kept = kept[(scores >= min_score)[kept]]
    if not len(kept):
        raise ConfigError(f"no trajectory is left after filtering: the best score is {scores.max():.6g}, min_score is {_single(min_score)}")
    return kept


def best(scores: np.ndarray, percentile: float) -> np.ndarray:
    """Numbers, rising, of the trajectories whose `scores` [E] reach `percentile`: those from rank (E - 1) percentile / 100 on.

    Where equal scores lie on both sides of that rank, the strictly better ones; if none is better, all of the equal ones. The rule
    `@top:SHARE` of envs/data/selection.py is the same.
    """
    first, ordered = _first_rank(len(scores), percentile), np.sort(scores)
    better = np.flatnonzero(scores > ordered[first])
    straddled = first > 0 and ordered[first - 1] == ordered[first]
    return better if straddled and len(better) else np.flatnonzero(scores >= ordered[first])


def _first_rank(count: int, percentile: float) -> int:
    """The lowest rank, from 0, that reaches `percentile` among `count` scores."""
    return math.ceil((count - 1) * percentile / 100 - 1e-9)  # a rank that is whole but for rounding


def _single(min_score: float | np.ndarray | None) -> str:
    return "None" if min_score is None else f"{float(np.max(min_score)):.6g}"


def _listed(values: Sequence[float]) -> str:
    return ", ".join(f"{value:g}" for value in values)
