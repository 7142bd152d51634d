"""Returns of every logged step, episode by episode."""

from __future__ import annotations

import torch
from torch import Tensor

from algos.base import Episodes


def lambda_returns(data: Episodes, rewards: Tensor, values: Tensor, last: Tensor, discount: Tensor, trace: Tensor) -> Tensor:
    """TD(lambda) returns [P, N] (Sutton & Barto 2018, eq. 12.2), lambda = `trace`:

        G_t = r_t + discount * ((1 - trace) V(s_t+1) + trace G_t+1),  G_T = V(s_T) at an episode's end, all V of a terminal state 0

    `rewards` [N]; `values` [P, N] of the observations; `last` [P, E], the value after each episode's last step; the rest [P].
    With trace 1 and `last` 0 this is the discounted return to go.
    """
    result = torch.zeros_like(values)
    gamma, trace = discount.unsqueeze(1), trace.unsqueeze(1)
    live = (~data.terminated).to(values.dtype)
    order = data.lengths.argsort(descending=True, stable=True)
    ends, lengths = data.offsets[1:][order] - 1, data.lengths[order]
    next_return, value = last[:, order], last[:, order]  # G and V of the next step
    running = (lengths.unsqueeze(0) > torch.arange(int(lengths[0]), device=lengths.device).unsqueeze(1)).sum(1).tolist()
    for back, count in enumerate(running):  # `count` episodes have a step that is `back` steps before their last one
        step = ends[:count] - back
        mixed = (1 - trace) * value[:, :count] + trace * next_return[:, :count]
        next_return = rewards[step] + gamma * live[step] * mixed
        value = values[:, step]
        result[:, step] = next_return
    return result


def deviation_of_returns(data: Episodes, discount: float) -> float:
    """The standard deviation of the discounted returns to go of all steps; 1 where they are equal."""
    return moments_of_returns(data, discount)[1]


def moments_of_returns(data: Episodes, discount: float) -> tuple[float, float]:
    """Mean and deviation of the discounted returns to go of all steps; a deviation of 1 where they are equal."""
    one, zero = torch.ones(1, device=data.rewards.device), torch.zeros(1, len(data.lengths), device=data.rewards.device)
    found = lambda_returns(data, data.rewards, torch.zeros_like(data.rewards)[None], zero, discount * one, one).double()
    return float(found.mean()), float(found.std(correction=0)) or 1.0
