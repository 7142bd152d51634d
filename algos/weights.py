"""Weighting rules: the factor of a step's log-likelihood."""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor

LARGEST_DENSITY = 1e9  # clip of `probability_weights`: densities in many dimensions would overflow
SECTIONS, ROUNDS = 8, 9  # the interval that contains a tempered temperature is divided into 8, 9 times: 2^27, finer than float32


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


def tempered_weights(log_ratio: Tensor, base: Tensor, temperature: Tensor, floor: Tensor) -> tuple[Tensor, Tensor]:
    """Self-normalised weights w = exp(alpha * x) / mean(exp(alpha * x)), tempered so that they do not collapse; and alpha.

    x is the log-ratio less its mean. alpha is the largest value in [0, temperature] at which the effective sample size (`ess_share`) is at
    least `floor`, as adaptive sequential Monte Carlo chooses its temperatures (Jasra et al. 2011, doi 10.1111/j.1467-9469.2010.00723.x).
    Means are taken under `base`, the share of each entry in the unweighted loss; entries with base 0 do not count.

    Centring: exp(alpha * (x - c)) = exp(-alpha * c) exp(alpha * x), a factor that self-normalisation divides out. It changes no objective,
    and keeps a common drift of the log-ratios, which grows with the training of q, from reaching a clip. There is no clip.
    Tempering: the weight (q / pi_ref)^alpha is that of the bound for q_alpha, proportional to pi_ref^(1 - alpha) q^alpha, a distribution
    between pi_ref (alpha = 0: the bound of SFT) and q (alpha = 1 per trajectory): a valid bound by x >= 1 + log x for the free distribution
    q_alpha, and looser than with q only as far as q_alpha differs from p.

    `log_ratio` and `base` [P, E], `temperature` and `floor` [P]; returns weights [P, E] and alpha [P]. The effective sample size falls
    with alpha (the cumulant function is convex), so that the interval which contains alpha is found among SECTIONS equal ones at once,
    then divided again; nothing is read back to the host. The search is in float64, so that rounding, which depends on a member's place in
    memory, decides nothing.
    """
    centred, share = centred_ratios(log_ratio, base)
    wide, wide_share = centred.double().unsqueeze(1), share.double().unsqueeze(1)

    def enough(alpha: Tensor) -> Tensor:
        """A mask [P, K] of the temperatures `alpha` [P, K] that keep the effective sample size."""
        exponent = alpha.unsqueeze(-1) * wide
        weights = (exponent - exponent.amax(-1, keepdim=True)).exp()
        return ess_share(weights, wide_share) >= floor.unsqueeze(-1)

    low, width = torch.zeros_like(temperature, dtype=torch.float64), temperature.double()
    inner = torch.arange(1, SECTIONS, device=low.device, dtype=low.dtype) / SECTIONS
    for _ in range(ROUNDS):
        below = enough(low.unsqueeze(-1) + width.unsqueeze(-1) * inner).long().cumprod(-1).sum(-1)
        width = width / SECTIONS
        low = low + below * width
    alpha = torch.where(enough(temperature.double().unsqueeze(-1)).squeeze(-1), temperature, low.to(temperature.dtype))
    return self_normalised(alpha.unsqueeze(-1) * centred, share), alpha


def centred_ratios(log_ratio: Tensor, base: Tensor) -> tuple[Tensor, Tensor]:
    """Log-ratios less their mean under `base`, 0 where base is 0; and `base` scaled to sum 1; all [P, E]."""
    used = base > 0
    share = base / base.sum(-1, keepdim=True)
    return torch.where(used, log_ratio - (share * torch.where(used, log_ratio, 0.0)).sum(-1, keepdim=True), 0.0), share


def self_normalised(exponent: Tensor, share: Tensor) -> Tensor:
    """exp(`exponent`), scaled to mean 1 under `share`, 0 where share is 0; all [P, E]."""
    return (exponent - torch.logsumexp(share.log() + exponent, -1, keepdim=True)).exp() * (share > 0)


def defensive_mixture(weights: Tensor, share: Tensor) -> Tensor:
    """(1 - share) w + share: weights of mean 1 mixed with the uniform weight, which bounds them from below (Hesterberg 1995).

    Of the importance weights of a mixture proposal it keeps the purpose: no trajectory is forgotten. `weights` [P, E], `share` [P].
    """
    return (1 - share.unsqueeze(-1)) * weights + share.unsqueeze(-1)


def ess_share(weights: Tensor, base: Tensor) -> Tensor:
    """Kish's effective sample size over the number of weights, (mean w)^2 / mean(w^2) under `base`; both [P, E], returns [P]."""
    total = base.sum(-1)
    return (weights * base).sum(-1).square() / ((weights.square() * base).sum(-1) * total).clamp(min=torch.finfo(weights.dtype).tiny)


def probability_weights(log_prob: Tensor, temperature: Tensor) -> Tensor:
    """Step weights w_t = pi(a_t|s_t) ^ temperature; temperature 1 is DFT (Wu et al. 2025, arXiv 2508.05629, eq. 9).

    DFT's probabilities are of tokens, at most 1; those of continuous actions are densities, here clipped at LARGEST_DENSITY.
    `log_prob` [P, B], `temperature` [P]; returns [P, B].
    """
    return (temperature.unsqueeze(-1) * log_prob).exp().clamp(max=LARGEST_DENSITY)


def clipped_ratio_weights(log_ratio: Tensor, clip: Tensor) -> Tensor:
    """Step weights w_t = r_t where r_t = pi / pi_old <= 1 + clip, else 0: w_t grad log pi is the gradient of min(r_t, 1 + clip).

    PSFT (Zhu et al. 2025, arXiv 2508.17784): PPO's clipped surrogate with advantage 1, whose lower clip never binds. `log_ratio` [P, B],
    `clip` [P]; returns [P, B].
    """
    ratio = log_ratio.exp()
    return torch.where(ratio <= 1 + clip.unsqueeze(-1), ratio, 0.0)


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

    ess_share: Kish's effective sample size over the number of weights (`ess_share`). minimum, maximum: extremes. clipped_share: share of
    the weights at a clip.
    """

    ess_share: Tensor
    minimum: Tensor
    maximum: Tensor
    clipped_share: Tensor


def summarise(weights: Tensor, base: Tensor, minimum: Tensor, maximum: Tensor) -> WeightSummary:
    """Diagnostics of `weights` under `base` [P, M] and clips [P]. A minimum of 0 clips nothing: exp is positive but for underflow."""
    low, high = minimum.unsqueeze(-1), maximum.unsqueeze(-1)
    clipped = ((weights >= high) | ((weights <= low) & (low > 0))).double()
    share = base.double() / base.double().sum(-1, keepdim=True)
    return WeightSummary(ess_share(weights.double(), share).float(), weights.amin(-1), weights.amax(-1), (clipped * share).sum(-1).float())
