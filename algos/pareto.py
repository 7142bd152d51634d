"""Pareto-smoothed importance weights (Vehtari, Simpson, Gelman, Yao & Gabry 2024, JMLR 25(72), arXiv 1507.02646).

The largest weights of a sample are the ones whose size is known worst. A generalised Pareto distribution is fitted to them, and they are
replaced, in their order, by its expected quantiles, none above the largest raw weight. Everything stays on the device.
"""

from __future__ import annotations

import torch
from torch import Tensor

from algos.weights import centred_ratios, self_normalised

TAIL_SHARE, TAIL_ROOT = 0.2, 3.0  # the tail is min(0.2 S, 3 sqrt(S)) of S weights, rounded up (section 2.3)
SMALLEST = 5  # weights of a tail that is smoothed
PRIOR_SHAPE, PRIOR_WEIGHT = 0.5, 10.0  # the shape is drawn towards 0.5 with the weight of 10 observations (appendix C)
GRID = 30  # values of the fit's parameter, plus sqrt(tail)


def pareto_weights(log_ratio: Tensor, base: Tensor, temperature: Tensor) -> Tensor:
    """Self-normalised weights exp(temperature * x), x centred as in `tempered_weights`, whose largest values are Pareto-smoothed.

    `log_ratio` and `base` [P, E], `temperature` [P]; returns [P, E]. Entries with base 0 do not count. The fit takes each entry for one
    draw, whatever its base; `base` enters where the weights are scaled to mean 1.
    """
    centred, share = centred_ratios(log_ratio.double(), base.double())
    exponent = temperature.double().unsqueeze(-1) * centred
    smoothed = _smoothed(exponent.masked_fill(share <= 0, -torch.inf))
    return self_normalised(smoothed.masked_fill(share <= 0, 0.0), share).to(log_ratio.dtype)


def _smoothed(log_weights: Tensor) -> Tensor:
    """Log-weights [P, E] less their maximum, with smoothed tails; -inf for entries that do not count."""
    ordered, order = torch.sort(log_weights - log_weights.amax(-1, keepdim=True), dim=-1, descending=True, stable=True)
    used = (ordered > -torch.inf).sum(-1, keepdim=True).double()
    size = torch.minimum(TAIL_SHARE * used, TAIL_ROOT * used.sqrt()).ceil().long()  # [P, 1]
    width = ordered.shape[-1]
    longest = min(width - 1, int(min(TAIL_SHARE * width, TAIL_ROOT * width**0.5)) + 1)
    if longest < SMALLEST:
        return log_weights - log_weights.amax(-1, keepdim=True)
    tail, rank = ordered[:, :longest].exp(), torch.arange(longest, device=ordered.device)
    cutoff = ordered.gather(-1, size).exp()  # the largest weight below the tail
    inside = rank < size
    excess = torch.where(inside, tail - cutoff, 0.0)
    shape, scale = fit_pareto(excess, size)
    probability = torch.where(inside, (size - rank - 0.5).double() / size, 0.0)  # of the order statistic
    quantile = scale * torch.expm1(-shape * torch.log1p(-probability)) / shape
    fits = inside & (size >= SMALLEST) & shape.isfinite() & scale.isfinite()
    smooth = (cutoff + quantile).log().clamp(max=0.0)
    head = torch.where(fits, smooth, ordered[:, :longest])
    return torch.empty_like(ordered).scatter(-1, order, torch.cat([head, ordered[:, longest:]], -1))


def fit_pareto(excess: Tensor, size: Tensor) -> tuple[Tensor, Tensor]:
    """Shape and scale [P, 1] of a generalised Pareto distribution (Zhang & Stephens 2009, doi 10.1198/tech.2009.08017).

    excess: the tail's values above its cutoff, the largest first, the first `size` [P, 1] of each row [P, L]. The shape has the weakly
    informative prior of Vehtari et al. Not finite where a quarter of the tail or more is at the cutoff.
    """
    count = size.clamp(min=1).to(excess.dtype)
    grid = GRID + int(excess.shape[-1] ** 0.5)
    number = torch.arange(1, grid + 1, device=excess.device, dtype=excess.dtype) - 0.5
    points = GRID + count.sqrt().floor()  # of the grid that count; [P, 1]
    quartile = excess.gather(-1, (count - (count / 4 + 0.5).floor().clamp(min=1)).long())
    b = 1 / excess[:, :1] + (1 - (points / number).sqrt()) / (3 * quartile)  # [P, G]
    inside = torch.arange(excess.shape[-1], device=excess.device) < size

    def shapes(theta: Tensor) -> Tensor:
        terms = torch.log1p(-theta.unsqueeze(-1) * excess.unsqueeze(1)) * inside.unsqueeze(1)
        return terms.sum(-1) / count

    k = shapes(b)
    likelihood = count * ((-b / k).log() - k - 1)
    b = (torch.where(number <= points, likelihood, -torch.inf).softmax(-1) * torch.where(number <= points, b, 0.0)).sum(-1, keepdim=True)
    k = shapes(b)
    return (count * k + PRIOR_WEIGHT * PRIOR_SHAPE) / (count + PRIOR_WEIGHT), -k / b
