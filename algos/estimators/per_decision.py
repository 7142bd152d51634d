"""Per-decision importance sampling (Precup, Sutton & Singh 2000), unbiased where the behaviour takes every action of the policy.

    J = 1/E sum_e sum_t discount^t w_et r_et

With self-normalised weights (algos/estimators/ratios.py) it is weighted per-decision importance sampling: biased, consistent, and bounded
by the largest and smallest rewards.
"""

from __future__ import annotations

from torch import Tensor

from algos.base import Episodes
from algos.estimators.ratios import steps_of


def per_decision(data: Episodes, weights: Tensor, discount: float) -> Tensor:
    """J [P] from the weights [P, N] of the steps."""
    discounted = data.rewards.double() * discount ** steps_of(data).double()
    return (weights * discounted).sum(1) / len(data.lengths)
