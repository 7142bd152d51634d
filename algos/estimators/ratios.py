"""Likelihood ratios of logged episodes: the weight of a step is the product of the ratios pi / b of its episode so far.

    log w_t = sum_{u <= t} log pi(a_u|s_u) - log b(a_u|s_u)

An episode that has ended keeps its last weight, as if it stayed in a final state without reward. Sums are in double precision and in
logarithms: a product over a thousand steps leaves the range of any number.
"""

from __future__ import annotations

import torch
from torch import Tensor

from algos.base import Episodes

LOWEST = -1e4  # of the logarithm of a ratio: an action that a policy never takes
LARGEST = 600.0  # of the logarithm of a plain weight, a clip: sums of weights stay finite


def steps_of(data: Episodes) -> Tensor:
    """The number of every step within its episode, [N]."""
    everything = torch.arange(len(data.rewards), device=data.offsets.device)
    return everything - data.offsets[:-1].repeat_interleave(data.lengths)


def log_weights(data: Episodes, log_ratio: Tensor) -> Tensor:
    """log w of every step, [P, N] in double precision, from the log-ratios [P, N] of single steps."""
    sums = log_ratio.double().clamp(min=LOWEST).cumsum(1)
    before = torch.cat([torch.zeros_like(sums[:, :1]), sums[:, data.offsets[1:-1] - 1]], 1)  # [P, E]
    return sums - before.repeat_interleave(data.lengths, 1)


def plain_weights(log_weight: Tensor) -> Tensor:
    """w [P, N] of log w, at most e^LARGEST."""
    return log_weight.clamp(max=LARGEST).exp()


def normalised_weights(data: Episodes, log_weight: Tensor) -> Tensor:
    """w [P, N] divided by its mean over all episodes at the same step, ended ones included."""
    return (log_weight - _log_means(data, log_weight)[:, steps_of(data)]).exp()


def effective_episodes(data: Episodes, log_weight: Tensor) -> Tensor:
    """Effective number of episodes [P]: (sum w)^2 / sum w^2 of their last weights (Kish 1965)."""
    last = log_weight[:, data.offsets[1:] - 1]
    return (2 * last.logsumexp(1) - (2 * last).logsumexp(1)).exp()


def _log_means(data: Episodes, log_weight: Tensor) -> Tensor:
    """Logarithm of the mean weight over all episodes after each number of steps, [P, T]."""
    longest = int(data.lengths.max())
    active = _sums(log_weight, steps_of(data), longest)
    ended = _sums(log_weight[:, data.offsets[1:] - 1], data.lengths, longest + 1)[:, :longest].logcumsumexp(1)
    return torch.logaddexp(active, ended) - torch.tensor(float(len(data.lengths)), dtype=torch.float64).log()


def _sums(values: Tensor, place: Tensor, size: int) -> Tensor:
    """Logarithm of the sum of exp(`values` [P, M]) by `place` [M], [P, size]; -inf where there is none."""
    index = place.expand(len(values), -1)
    top = values.new_full((len(values), size), -torch.inf).scatter_reduce(1, index, values, "amax")
    finite = top.nan_to_num(neginf=0.0)
    return finite + torch.zeros_like(top).scatter_add(1, index, (values - finite.gather(1, index)).exp()).log()
