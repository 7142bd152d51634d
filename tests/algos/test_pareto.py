"""Pareto-smoothed weights against the same algorithm in plain NumPy, one tail at a time."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from algos.pareto import fit_pareto, pareto_weights

RNG = np.random.default_rng(0)


def tensor(x: object) -> torch.Tensor:
    return torch.as_tensor(np.asarray(x), dtype=torch.float64)


def fit_by_numpy(tail: np.ndarray) -> tuple[float, float]:
    """Shape, without its prior, and scale of the ascending values `tail` (Zhang & Stephens 2009)."""
    n = len(tail)
    grid = 30 + int(n**0.5)
    theta = [1 / tail[-1] + (1 - (grid / (j - 0.5)) ** 0.5) / (3 * tail[int(n / 4 + 0.5) - 1]) for j in range(1, grid + 1)]
    shapes = [np.mean([np.log1p(-t * x) for x in tail]) for t in theta]
    likelihood = np.array([n * (np.log(-t / k) - k - 1) for t, k in zip(theta, shapes, strict=True)])
    posterior = [1 / np.exp(likelihood - one).sum() for one in likelihood]
    mean = float(np.dot(posterior, theta))
    shape = float(np.mean(np.log1p(-mean * tail)))
    return shape, -shape / mean


def smoothed_by_numpy(exponent: np.ndarray) -> np.ndarray:
    """Weights of mean 1 from log-weights, all of which count the same."""
    weights = np.exp(exponent - exponent.max())
    order, size = np.argsort(weights), int(np.ceil(min(0.2 * len(weights), 3 * len(weights) ** 0.5)))
    if size >= 5:
        cutoff, tail = weights[order[-size - 1]], order[-size:]
        shape, scale = fit_by_numpy(weights[tail] - cutoff)
        shape = (size * shape + 5) / (size + 10)
        for rank, place in enumerate(tail):
            p = (rank + 0.5) / size
            weights[place] = min(1.0, cutoff + scale * ((1 - p) ** -shape - 1) / shape)
    return weights / weights.mean()


@pytest.mark.parametrize("size", [3, 20, 25, 60, 400])
def test_weights_are_those_of_the_paper_s_algorithm(size: int) -> None:
    ratio = RNG.normal(size=(3, size)) * np.array([[0.5], [1.0], [3.0]])
    found = pareto_weights(tensor(ratio), tensor(np.ones((3, size))), tensor([1.0, 2.0, 1.0]))
    for k, temperature in enumerate((1.0, 2.0, 1.0)):
        np.testing.assert_allclose(found[k], smoothed_by_numpy(temperature * ratio[k]), rtol=1e-9)


def test_the_fit_finds_the_shape_of_a_pareto_tail() -> None:
    p = (np.arange(4000) + 0.5) / 4000
    tail = 2.0 * ((1 - p) ** -0.7 - 1) / 0.7
    shape, scale = fit_pareto(tensor(tail[None, ::-1].copy()), torch.tensor([[4000]]))
    assert float(shape) == pytest.approx(0.7, abs=0.02)
    assert float(scale) == pytest.approx(2.0, rel=0.03)


def test_smoothing_tames_the_largest_weight_and_keeps_the_order() -> None:
    ratio = 0.3 * RNG.normal(size=(1, 200))
    ratio[0, 17] = 4.0
    raw = np.exp(ratio)
    found = pareto_weights(tensor(ratio), tensor(np.ones((1, 200))), tensor([1.0])).numpy()
    assert (np.argsort(found) == np.argsort(raw)).all()
    assert found.max() / found.sum() < 0.5 * raw.max() / raw.sum()
    assert found.mean() == pytest.approx(1)


def test_padding_does_not_count() -> None:
    ratio, base = RNG.normal(size=(1, 50)), np.ones((1, 50))
    ratio[0, 40:], base[0, 40:] = 1e6, 0
    padded = pareto_weights(tensor(ratio), tensor(base), tensor([2.0]))
    np.testing.assert_allclose(padded[:, :40], pareto_weights(tensor(ratio[:, :40]), tensor(base[:, :40]), tensor([2.0])), rtol=1e-9)
    assert padded[0, 40:].tolist() == [0] * 10


def test_equal_and_extreme_ratios_give_finite_weights() -> None:
    assert pareto_weights(torch.zeros(1, 100), torch.ones(1, 100), torch.ones(1)).tolist() == [[1.0] * 100]
    for scale in (1e-6, 1.0, 1e4, 1e30):
        ratio = scale * torch.as_tensor(RNG.normal(size=(1, 100)), dtype=torch.float32)
        assert pareto_weights(ratio, torch.ones(1, 100), torch.full((1,), 10.0)).isfinite().all()
