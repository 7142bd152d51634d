"""Log-likelihoods of whole episodes, and scalar products of their gradients, of the populations that the product trains."""

from __future__ import annotations

import torch
from torch import Tensor

from algos.base import Episodes, State
from algos.importance import StepWeights
from algos.likelihood import StepLikelihood


def log_likelihood(likelihood: StepLikelihood, flat: Tensor) -> Tensor:
    """Sum over each episode of log pi(a_t|s_t) under flat parameters `flat` [P, N]: [P, E] float64."""
    data = likelihood.data
    steps = likelihood.all_of(flat, torch.arange(len(data.actions), device=flat.device)).double()
    return sums(steps, data)


def sums(steps: Tensor, data: Episodes) -> Tensor:
    """Sums over episodes [P, E] of values of steps [P, N]."""
    episode = torch.repeat_interleave(torch.arange(len(data.lengths)), data.lengths)
    return torch.zeros(len(steps), len(data.lengths), dtype=steps.dtype).index_add(1, episode, steps)


def log_weights(weights: StepWeights, state: State) -> Tensor:
    """Logarithms [P, M] of the weights of the curated trajectories, as the method makes them; 0 for a method without weights."""
    if not weights.kind.is_ratio:
        return torch.zeros(len(state["policy"]), weights.slots, dtype=torch.float64)
    return weights.of_trajectories(state)[0].double().log()


def gradient_products(likelihood: StepLikelihood, flat: Tensor, episodes: Tensor) -> Tensor:
    """Scalar products [P, M, M] float64 of the gradients of log pi(tau) of every two of `episodes` [M] at `flat` [P, N]."""
    gradients = torch.empty(len(flat), len(episodes), flat.shape[1])
    for row, episode in enumerate(episodes.tolist()):
        first, stop = likelihood.data.offsets[episode : episode + 2].tolist()
        with torch.enable_grad():
            at = flat.detach().clone().requires_grad_()
            total = likelihood(likelihood.policy_net.layout.views(at), torch.arange(first, stop).expand(len(at), -1)).sum()
            (gradients[:, row],) = torch.autograd.grad(total, at)
    return (gradients @ gradients.mT).double()
