"""The mean squared TD error of a policy's fitted Q on logged steps (a criterion, no return: smaller is better).

    mean (Q(s, a) - r - discount * live * V(s'))^2,   V(s') = E_pi Q(s', a')

On steps that Q was not fitted to, it tells how well the policy's values generalise. A small error is no small error of the value
(Fujimoto et al. 2022, arXiv 2201.12417).
"""

from __future__ import annotations

from torch import Tensor

from algos.base import Episodes


def td_error(data: Episodes, q: Tensor, next_values: Tensor, discount: float) -> Tensor:
    """The error [P] from Q [P, N] of the logged actions and V [P, N] of the next observations."""
    live = (~data.terminated).to(q.dtype)
    return (q - data.rewards - discount * live * next_values).square().mean(1)
