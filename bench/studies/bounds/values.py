"""Values of the bounds that bench/studies/bound.py derives, and moments of their gradients.

A sample is its trajectories with a reward. share [M]: their probability under pi_ref times their reward, or their share of a sample of
pi_ref times it. log_ratio [M]: log p(tau) - log pi_ref(tau) of the policy p. log_weight [M]: logarithms of weights, up to a common summand;
-inf is weight 0. All are float64.
"""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor

ALPHAS = (0.0, 0.01, 0.02, 0.05, 0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9, 1.0, 1.25, 1.5, 2.0, 3.0)
OWN = "own"  # in the column q: the weights that the method itself makes
ROUNDING = 1e-7  # of float32 gradients: a smaller mean's direction is noise


def mean_one(share: Tensor, log_weight: Tensor) -> Tensor:
    """Logarithms of the weights scaled to mean 1 under `share`."""
    return log_weight - log_mean(share, log_weight)


def log_mean(share: Tensor, log_value: Tensor) -> Tensor:
    """log E[exp(log_value)] under `share`; of log_ratio it is log(J / J_ref), J as importance sampling gives it."""
    return torch.logsumexp(log_value + (share / share.sum()).log(), 0)


def path(log_ratio: Tensor) -> dict[str, Tensor]:
    """Log-weights of q proportional to pi_ref^(1 - alpha) p^alpha, by name, for alpha from 0 to beyond 1."""
    return {f"alpha {alpha:g}": alpha * log_ratio for alpha in ALPHAS}


class Bound(NamedTuple):
    """The lower bound of J from weights w with mean 1.

    log_gain: K = E[w (log_ratio - log w)], a lower bound of log(J / J_ref). plain: J_ref (1 + K). best: J_ref exp(K), where the weights
    have the best scale. ess: Kish's effective sample size of the weights, as a share of the sample.
    """

    log_gain: float
    plain: float
    best: float
    ess: float


def bound(share: Tensor, log_ratio: Tensor, log_weight: Tensor) -> Bound:
    """The bound of the weights exp(log_weight)."""
    chances, logs = share / share.sum(), mean_one(share, log_weight)
    weights = logs.exp()
    gain = (chances * weights * torch.where(weights > 0, log_ratio - logs, 0.0)).sum()
    ess = 1 / (chances * weights.square()).sum()
    return Bound(float(gain), float(share.sum() * (1 + gain)), float(share.sum() * gain.exp()), float(ess))


class Moments(NamedTuple):
    """The gradient of the weighted log-likelihood from one trajectory with a reward, weights scaled to mean 1.

    variance: trace of its covariance. norm: length of its mean.
    """

    variance: float
    norm: float


def moments(share: Tensor, log_weight: Tensor, products: Tensor) -> Moments:
    """Moments from `products` [M, M], the scalar products of the gradients of log p of every two trajectories."""
    chances, weights = share / share.sum(), mean_one(share, log_weight).exp()
    square = (chances * weights) @ products @ (chances * weights)
    variance = (chances * weights.square() * products.diagonal()).sum() - square
    return Moments(float(variance), float(square.clamp(min=0).sqrt()))


def cosine(share: Tensor, one: Tensor, other: Tensor, products: Tensor) -> float:
    """Cosine of the angle between the mean gradients of two log-weights; NaN where rounding hides one of them."""
    a, b = (share / share.sum() * mean_one(share, log_weight).exp() for log_weight in (one, other))
    squares = float(a @ products @ a), float(b @ products @ b)
    if min(squares) <= ROUNDING * float(products.diagonal().max()):
        return float("nan")
    return float(a @ products @ b) / (squares[0] * squares[1]) ** 0.5


def measured(share: Tensor, log_ratio: Tensor, log_weight: Tensor, products: Tensor | None) -> dict[str, float]:
    """Columns of the study's table: the bound; with `products` moments, and the cosine to the gradient of log J, that of w = p / pi_ref."""
    found = bound(share, log_ratio, log_weight)
    columns = {"bound_log_gain": found.log_gain, "bound": found.plain, "bound_best_scale": found.best, "ess": found.ess}
    if products is None:
        return columns
    gradient, angle = moments(share, log_weight, products), cosine(share, log_weight, log_ratio, products)
    return columns | {"gradient_variance": gradient.variance, "gradient_norm": gradient.norm, "cosine": angle}
