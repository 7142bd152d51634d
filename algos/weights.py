"""Weighting rules: the factor of a step's log-likelihood."""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor

LARGEST_DENSITY = 1e9  # clip of `probability_weights`: densities in many dimensions would overflow


def trajectory_weights(mean_log_ratio: Tensor, temperature: Tensor, maximum: Tensor) -> Tensor:
    """Trajectory weights w = clip(exp(temperature * mean_t rho_t), 0, maximum), rho = log pi_q - log pi_ref (arXiv 2507.12856).

    `mean_log_ratio` [P, E], `temperature` and `maximum` [P]; returns [P, E].
    """
    return _clipped_exp(temperature.unsqueeze(-1) * mean_log_ratio, torch.zeros_like(maximum), maximum)


def step_weights(log_ratio: Tensor, temperature: Tensor, minimum: Tensor, maximum: Tensor) -> Tensor:
    """Step weights w_t = clip(exp(temperature * rho_t), minimum, maximum) (arXiv 2507.12856, per-step clipping).

    `log_ratio` [P, B], the rest [P]; returns [P, B].
    """
    return _clipped_exp(temperature.unsqueeze(-1) * log_ratio, minimum, maximum)


def probability_weights(log_prob: Tensor, temperature: Tensor) -> Tensor:
    """Step weights w_t = pi(a_t|s_t) ^ temperature; temperature 1 is DFT (Wu et al. 2025, arXiv 2508.05629, eq. 9).

    DFT's probabilities are of tokens, at most 1; those of continuous actions are densities, here clipped at LARGEST_DENSITY.
    `log_prob` [P, B], `temperature` [P]; returns [P, B].
    """
    return (temperature.unsqueeze(-1) * log_prob).exp().clamp(max=LARGEST_DENSITY)


def advantage_weights(advantage: Tensor, temperature: Tensor, maximum: Tensor) -> Tensor:
    """Weights w = min(exp(temperature * A), maximum) of AWR, AWAC and IQL; `advantage` [P, B], the rest [P]; returns [P, B]."""
    return _clipped_exp(temperature.unsqueeze(-1) * advantage, torch.zeros_like(maximum), maximum)


def _clipped_exp(exponent: Tensor, minimum: Tensor, maximum: Tensor) -> Tensor:
    return exponent.exp().clamp(minimum.unsqueeze(-1), maximum.unsqueeze(-1))


def mean_one(weights: Tensor, coefficient: Tensor) -> Tensor:
    """`weights` scaled so that their mean under `coefficient` is 1 for each member; both [P, B]."""
    mean = (weights * coefficient).sum(-1, keepdim=True) / coefficient.sum(-1, keepdim=True)
    return weights / mean.clamp(min=torch.finfo(weights.dtype).tiny)


class WeightSummary(NamedTuple):
    """Diagnostics of weights, each [P].

    ess_share: Kish's effective sample size over the number of weights. minimum, maximum: extremes. clipped_share: share at a clip.
    """

    ess_share: Tensor
    minimum: Tensor
    maximum: Tensor
    clipped_share: Tensor


def summarise(weights: Tensor, minimum: Tensor, maximum: Tensor) -> WeightSummary:
    """Diagnostics of `weights` [P, M] under clips [P]. A minimum of 0 clips nothing: exp is positive but for underflow."""
    w = weights.double()
    ess = w.sum(-1).square() / w.square().sum(-1).clamp(min=1e-300) / w.shape[-1]
    low, high = minimum.unsqueeze(-1), maximum.unsqueeze(-1)
    clipped = (weights >= high) | ((weights <= low) & (low > 0))
    return WeightSummary(ess.float(), weights.amin(-1), weights.amax(-1), clipped.float().mean(-1))
