"""The doubly robust estimator (Jiang & Li 2016, arXiv 1511.03722, eq. 10), written out over steps.

    J = 1/E sum_e ( V(s_e0) + sum_t discount^t w_et (r_et + discount V(s_e,t+1) - Q(s_et, a_et)) ),   V(s) = E_pi Q(s, a)

V of a terminal state is 0. A truncated episode continues with V of its last observation. Unbiased for any Q that does not depend on the
episodes, if w is exact; exact for a single episode of a deterministic world if Q is. With self-normalised weights
(algos/estimators/ratios.py) a correction is weighted as in the weighted estimator of Thomas & Brunskill (2016, arXiv 1604.00923), whose
sum pairs -discount^t w_t Q(s_t, a_t) with discount^t w_(t-1) V(s_t), each normalised at its own step.
"""

from __future__ import annotations

import torch
from torch import Tensor

from algos.base import Episodes
from algos.estimators.ratios import steps_of


def doubly_robust(data: Episodes, weights: Tensor, q: Tensor, values: Tensor, last: Tensor, discount: float) -> Tensor:
    """J [P] from the weights [P, N] of the steps, Q [P, N] of the logged actions, V [P, N] of the observations, and V [P, E] after each
    episode's last step."""
    ends, starts = data.offsets[1:] - 1, data.offsets[:-1]
    factor = discount ** steps_of(data).double()
    before = torch.cat([torch.ones_like(weights[:, :1]), weights[:, :-1]], 1)  # w of the step before; 1 at an episode's first
    before[:, starts] = 1.0
    corrections = factor * (weights * (data.rewards.double() - q) + before * values)
    live = (~data.terminated[ends]).double()
    tails = discount * factor[ends] * weights[:, ends] * live * last
    return (corrections.sum(1) + tails.sum(1)) / len(data.lengths)
