"""Spearman's rank correlation over policies, and a bootstrap of policies."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from scipy.stats import rankdata

from bench.results.bootstrap import Estimate

RESAMPLES = 2_000


def spearman(estimates: np.ndarray, truths: np.ndarray) -> np.ndarray:
    """Spearman's rank correlation [R] of `estimates` and `truths` [R, P], equal values at their mean rank; NaN where all are equal."""
    a, b = (rankdata(x, axis=1) - (x.shape[1] + 1) / 2 for x in (estimates, truths))
    with np.errstate(invalid="ignore"):
        found: np.ndarray = (a * b).sum(1) / np.sqrt((a * a).sum(1) * (b * b).sum(1))
    return found


def over_policies(
    metric: Callable[[np.ndarray, np.ndarray], np.ndarray], estimates: np.ndarray, truths: np.ndarray, seed: int = 0
) -> Estimate:
    """`metric` of the policies with its 95 % percentile interval over resampled ones; resamples without a value are left out."""
    drawn = np.random.default_rng(seed).integers(0, len(truths), (RESAMPLES, len(truths)))
    value = float(metric(estimates[None], truths[None])[0])
    found = metric(estimates[drawn], truths[drawn])
    found = found[~np.isnan(found)]
    if len(truths) < 2 or not len(found):
        return Estimate(value, float("nan"), float("nan"))
    low, high = np.quantile(found, [0.025, 0.975])
    return Estimate(value, float(low), float(high))
