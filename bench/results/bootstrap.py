"""Aggregates over data sets with bootstrap intervals (Agarwal et al. 2021, arXiv 2108.13264).

`Strata` holds the scores of one method: an array of seeds for each of T data sets; the arrays may differ in length. No function accepts
NaN: bench.results.episodes decides what a failed episode counts.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import cache
from typing import NamedTuple

import numpy as np
from scipy import special

from bench.results.statistics import Strata, satterthwaite

Metric = Callable[[np.ndarray, np.ndarray, Sequence[int]], np.ndarray]
"""(values [N], counts [N, R], sizes [T]) -> [R], where N = sum(sizes).

`counts` holds how often each value occurs in each of R resamples; the sample itself is a column of ones. Counts make a resample cost a
sum, not a sort.
"""


def _task_means(values: np.ndarray, counts: np.ndarray, sizes: Sequence[int]) -> np.ndarray:
    """Mean over seeds of each data set, [T, R]."""
    ends = np.cumsum(sizes)
    return np.stack([values[e - n : e] @ counts[e - n : e] / n for n, e in zip(sizes, ends, strict=True)])


def mean(values: np.ndarray, counts: np.ndarray, sizes: Sequence[int]) -> np.ndarray:
    """Mean over data sets of the mean over seeds."""
    return _task_means(values, counts, sizes).mean(0)


def median(values: np.ndarray, counts: np.ndarray, sizes: Sequence[int]) -> np.ndarray:
    """Median over data sets of the mean over seeds."""
    return np.median(_task_means(values, counts, sizes), axis=0)


def iqm(values: np.ndarray, counts: np.ndarray, sizes: Sequence[int]) -> np.ndarray:
    """Interquartile mean: mean over all runs on all data sets without the lowest and the highest int(N / 4) of them."""
    order = np.argsort(values, kind="stable")
    low = int(0.25 * len(values))
    high = len(values) - low
    below = np.zeros(counts.shape[1], counts.dtype)  # number of drawn values at or below the i-th
    total = np.full(counts.shape[1], values[order[-1]] * high - values[order[0]] * low)
    for i, gap in zip(order, np.diff(values[order]), strict=False):  # summation by parts over the sorted values
        below = below + counts[i]
        total -= np.clip(below, low, high) * gap
    return total / (high - low)


def optimality_gap(values: np.ndarray, counts: np.ndarray, sizes: Sequence[int]) -> np.ndarray:
    """Mean shortfall from a score of 100; higher scores count as 100."""
    return 100 - mean(np.minimum(values, 100.0), counts, sizes)


METRICS: dict[str, Metric] = {"median": median, "iqm": iqm, "mean": mean, "optimality_gap": optimality_gap}


class Estimate(NamedTuple):
    """A value and its 95 % interval (NaN where a data set has a single seed)."""

    value: float
    low: float
    high: float


class Resamples:
    """R stratified bootstrap resamples of seeds within each of T data sets with `sizes` seeds, as counts [N, R].

    They depend on (sizes, resamples, seed) alone: all methods share them, and one more method does not move the interval of another.
    """

    def __init__(self, sizes: Sequence[int], resamples: int = 50_000, seed: int = 0) -> None:
        self.sizes = tuple(sizes)
        rng = np.random.default_rng(seed)
        parts = []
        for n in self.sizes:
            drawn = rng.integers(0, n, (n, resamples), np.uint16)
            parts.append(np.stack([(drawn == i).sum(0, dtype=np.uint16) for i in range(n)]))
        self.counts = np.concatenate(parts).astype(np.float32)  # small whole numbers: exact

    def estimate(self, metric: Metric, strata: Strata, confidence: float = 0.95, plain: bool = False) -> Estimate:
        """`metric` of `strata` with its percentile bootstrap interval, stretched for few seeds unless `plain`.

        The plain percentile interval (rliable's) is too short for few seeds: its spread has ddof 0, its quantiles are the normal's, and it
        cannot leave the range of the sample. Its distances from the value are therefore multiplied by sqrt(n / (n - 1)) t / z, with t
        Student's quantile at Satterthwaite's degrees of freedom; a jackknife over seeds gives each data set's share of the variance. For
        the mean of one data set, the result is close to Student's interval. Simulated coverage: docs/statistics.md.
        """
        values = _joined(strata)
        value = float(metric(values, np.ones((len(values), 1)), self.sizes)[0])
        drawn = metric(values, self.counts, self.sizes)
        if min(self.sizes) < 2:
            return Estimate(value, float("nan"), float("nan"))
        low, high = np.quantile(drawn, [(1 - confidence) / 2, (1 + confidence) / 2])
        factor = 1.0 if plain else self._stretch(metric, values, confidence)
        return Estimate(value, value + factor * (float(low) - value), value + factor * (float(high) - value))

    def _stretch(self, metric: Metric, values: np.ndarray, confidence: float) -> float:
        """Factor by which the plain interval is too short."""
        sizes = np.array(self.sizes)
        variances = _jackknife(metric, values, self.sizes)
        if not variances.any():  # no seed moves the metric
            variances = np.ones(len(sizes))
        shrunk = float(variances.sum() / (variances * (sizes - 1) / sizes).sum())
        student, normal = special.stdtrit(satterthwaite(variances, sizes), 0.5 + confidence / 2), special.ndtri(0.5 + confidence / 2)
        return float(np.sqrt(shrunk) * student / normal)


def _jackknife(metric: Metric, values: np.ndarray, sizes: Sequence[int]) -> np.ndarray:
    """Contribution of each data set's seeds to the variance of `metric`, [T], from leaving out one seed at a time (two seeds needed)."""
    counts = np.ones((len(values), len(values)))
    ends = np.cumsum(sizes)
    for n, end in zip(sizes, ends, strict=True):
        counts[end - n : end, end - n : end] = (1 - np.eye(n)) * n / (n - 1)
    without = metric(values, counts, sizes)
    return np.array([(n - 1) * without[e - n : e].var() for n, e in zip(sizes, ends, strict=True)])


@cache
def resamples(sizes: tuple[int, ...], number: int = 50_000, seed: int = 0) -> Resamples:
    """`Resamples`, made once for each set of arguments."""
    return Resamples(sizes, number, seed)


def aggregate(metric: Metric, strata: Strata, number: int = 50_000) -> Estimate:
    """`metric` over data sets with its 95 % interval."""
    return resamples(tuple(map(len, strata)), number).estimate(metric, strata)


def share_interval(drawn: np.ndarray, sizes: Sequence[int], confidence: float = 0.95) -> tuple[float, float]:
    """Percentile interval of a share or probability, `drawn` [R]; NaN if a data set has a single seed.

    Wider percentiles correct for few seeds (Hesterberg 2015, "What teachers should know about the bootstrap", section 4.3, with n the mean
    number of seeds and sum(n - 1) degrees of freedom). Unlike a stretched interval, this one stays between 0 and 1.
    """
    if min(sizes) < 2:
        return float("nan"), float("nan")
    n, freedom = float(np.mean(sizes)), sum(sizes) - len(sizes)
    tail = float(special.ndtr(np.sqrt(n / (n - 1)) * special.stdtrit(freedom, (1 - confidence) / 2)))
    low, high = np.quantile(drawn, [tail, 1 - tail])
    return float(low), float(high)


def _joined(strata: Strata) -> np.ndarray:
    """All values, [N]. Raises ValueError if one is not finite."""
    values = np.concatenate([np.asarray(x, np.float64) for x in strata])
    if not np.isfinite(values).all():
        raise ValueError("values are not finite")
    return values


def performance_profile(strata: Strata, thresholds: np.ndarray, number: int = 2_000) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Share of runs above each threshold with its pointwise lower and upper bound, each [len(thresholds)]."""
    values, drawn = _joined(strata), resamples(tuple(map(len, strata)), number)
    above = values[None, :] > thresholds[:, None]
    bounds = np.array([share_interval(row @ drawn.counts / len(values), drawn.sizes) for row in above.astype(np.float32)])
    return above.mean(1), bounds[:, 0], bounds[:, 1]


def probability_of_improvement(x: Strata, y: Strata, number: int = 10_000) -> Estimate:
    """P(X > Y) for one run of each, mean over data sets: Mann-Whitney's U / (n_x n_y), ties counting half.

    X and Y are resampled separately. With fewer than five seeds in all, the interval is NaN: for three seeds on one data set it would
    cover 72 to 90 % in simulations.
    """
    sizes_x, sizes_y = (tuple(map(len, s)) for s in (x, y))
    first, second = resamples(sizes_x, number, 0), resamples(sizes_y, number, 1)
    a = b = 0
    values, drawn = [], np.zeros(number)
    for one, two in zip(x, y, strict=True):
        one, two = np.asarray(one), np.asarray(two)
        wins = np.where(one[:, None] == two[None, :], 0.5, one[:, None] > two[None, :]).astype(np.float32)
        values.append(wins.mean())
        m, n = wins.shape
        drawn += ((wins @ second.counts[b : b + n]) * first.counts[a : a + m]).sum(0) / (m * n)
        a, b = a + m, b + n
    sizes = [min(m, n) for m, n in zip(sizes_x, sizes_y, strict=True)]
    value = float(np.mean(values))
    return Estimate(value, *share_interval(drawn / len(values), sizes)) if sum(sizes) >= 5 else Estimate(value, float("nan"), float("nan"))
