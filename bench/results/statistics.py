"""Statistics over seeds: summaries of one data set, paired comparisons of methods.

A seed's value is the mean over its evaluation episodes; seeds are the sample. Aggregates over data sets are in bench.results.bootstrap.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from scipy import special

Strata = Sequence[np.ndarray]
"""Values of one method: an array of seeds for each data set."""


class Summary(NamedTuple):
    """Mean, standard deviation (ddof 1) and 95 % interval of the mean. All but the mean are NaN for a single seed."""

    mean: float
    std: float
    low: float
    high: float


def summarise(values: Sequence[float] | np.ndarray, confidence: float = 0.95) -> Summary:
    """Summary of `values`, one per seed; the interval is Student's t."""
    x = np.asarray(values, np.float64)
    mean = float(x.mean())
    if len(x) < 2:
        return Summary(mean, float("nan"), float("nan"), float("nan"))
    std = float(x.std(ddof=1))
    half = float(special.stdtrit(len(x) - 1, 0.5 + confidence / 2)) * std / float(np.sqrt(len(x)))
    return Summary(mean, std, mean - half, mean + half)


class Comparison(NamedTuple):
    """Difference Y - X: mean, 95 % interval (Student's t) and two-sided p. All but the mean are NaN with fewer than two pairs."""

    difference: float
    low: float
    high: float
    p: float


def paired(x: Strata, y: Strata, confidence: float = 0.95) -> Comparison:
    """Paired comparison, seed k of `x` with seed k of `y` on each data set: the mean over data sets of the mean difference.

    Seeds are pairs because they share pi_ref and the starts of evaluation episodes. One data set: the paired t-test. Several: the
    variances of the means add up, with Satterthwaite's degrees of freedom.
    """
    differences = [np.asarray(b, np.float64) - np.asarray(a, np.float64) for a, b in zip(x, y, strict=True)]
    mean = float(np.mean([d.mean() for d in differences]))
    if min(map(len, differences)) < 2:
        return Comparison(mean, float("nan"), float("nan"), float("nan"))
    variances = np.array([d.var(ddof=1) / len(d) for d in differences])
    error = float(np.sqrt(variances.sum())) / len(differences)
    if error == 0:
        return Comparison(mean, mean, mean, float(mean == 0))
    freedom = satterthwaite(variances, [len(d) for d in differences])
    half = float(special.stdtrit(freedom, 0.5 + confidence / 2)) * error
    return Comparison(mean, mean - half, mean + half, float(2 * special.stdtr(freedom, -abs(mean) / error)))


def satterthwaite(variances: np.ndarray, sizes: np.ndarray | Sequence[int]) -> float:
    """Degrees of freedom of a sum of independent variance estimates with sizes - 1 each."""
    return float(variances.sum() ** 2 / (variances**2 / (np.asarray(sizes) - 1)).sum())


def holm(p_values: Sequence[float]) -> np.ndarray:
    """p-values corrected for testing all of them (Holm 1979); NaN stays NaN and is not counted."""
    p = np.asarray(p_values, np.float64)
    corrected = np.full(len(p), np.nan)
    order = [i for i in np.argsort(p, kind="stable") if not np.isnan(p[i])]
    running = 0.0
    for rank, i in enumerate(order):
        running = max(running, min(1.0, (len(order) - rank) * p[i]))
        corrected[i] = running
    return corrected


def marks_of(columns: Sequence[Strata], alpha: float = 0.05) -> list[str]:
    """Marks of methods: "best" for the best mean, "tied" for those not told apart from it, "" for the others.

    Not told apart: no significant difference (`paired`, `holm` over `columns`, level `alpha`). Methods that cannot be tested (one seed,
    seeds that cannot be paired) have no mark unless they are the best.
    """
    means = [float(np.mean([np.mean(x) for x in strata])) for strata in columns]
    best = int(np.argmax(means))
    pairs = [
        paired(strata, columns[best]).p if list(map(len, strata)) == list(map(len, columns[best])) else float("nan") for strata in columns
    ]
    pairs[best] = float("nan")
    return ["best" if mean == means[best] else "tied" if p > alpha else "" for mean, p in zip(means, holm(pairs), strict=True)]
