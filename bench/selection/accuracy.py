"""Accuracy of an estimate on policies of known returns: rank correlation, and the regret of the choice, with bootstrap intervals.

The sample are policies: an interval says what other policies of these methods would have given on the same data set.
"""

from __future__ import annotations

from math import comb
from typing import NamedTuple

import numpy as np

from bench.results.bootstrap import Estimate
from bench.results.correlation import over_policies, spearman

FEWEST = 3  # policies that a rank correlation needs


class Accuracy(NamedTuple):
    """Accuracy of an estimate. rated: policies that it rates. correlation: Spearman's. regret_1, regret_3: see `regret`."""

    rated: int
    correlation: Estimate
    regret_1: Estimate
    regret_3: Estimate


def accuracy(estimates: np.ndarray, truths: np.ndarray, seed: int = 0) -> Accuracy:
    """The accuracy of `estimates` [P], NaN for a policy that is not rated, for policies of true returns `truths` [P].

    The correlation is that of rated policies; the regret compares with the best of all: an estimate that cannot rate it cannot choose it.
    """
    rated = ~np.isnan(estimates)
    own, others = estimates[rated], truths[rated]
    ranked = np.where(rated, estimates, -np.inf)
    return Accuracy(
        int(rated.sum()),
        over_policies(spearman, own, others, seed) if len(own) >= FEWEST else _unknown(),
        over_policies(lambda e, t: regret(e, t, 1), ranked, truths, seed) if rated.any() else _unknown(),
        over_policies(lambda e, t: regret(e, t, 3), ranked, truths, seed) if rated.any() else _unknown(),
    )


def at_random(truths: np.ndarray) -> tuple[float, float]:
    """Expected regret at 1 and at 3 of a choice without an estimate."""
    ordered, count = np.sort(truths)[::-1], len(truths)
    expected = []
    for k in (1, min(3, count)):
        shares = [comb(count - i - 1, k - 1) / comb(count, k) for i in range(count)]  # that the i-th best is the best of k
        expected.append(float(ordered[0] - np.dot(shares, ordered)))
    return expected[0], expected[1]


def regret(estimates: np.ndarray, truths: np.ndarray, k: int) -> np.ndarray:
    """Regret at k [R]: the best of `truths` [R, P] less the best among the k policies of the highest `estimates` [R, P].

    Of equal estimates the first comes first. A policy whose estimate is -inf is chosen last.
    """
    first = np.argsort(-estimates, axis=1, kind="stable")[:, :k]
    found: np.ndarray = truths.max(1) - np.take_along_axis(truths, first, 1).max(1)
    return found


def _unknown() -> Estimate:
    return Estimate(float("nan"), float("nan"), float("nan"))
