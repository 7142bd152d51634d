"""Laws of drawn actions, against their formulas and frequencies."""

from __future__ import annotations

import numpy as np
import torch
from scipy import special

from algos.networks.policies import CategoricalPolicy, DeterministicPolicy, GaussianPolicy, SquashedGaussianPolicy

RNG = np.random.default_rng(0)
OBSERVATIONS = torch.as_tensor(RNG.normal(size=(2, 5, 3)), dtype=torch.float32)
GENERATORS = [torch.Generator().manual_seed(k) for k in (0, 1)]


def uniform(width: int, count: int = 5) -> torch.Tensor:
    return torch.as_tensor(RNG.uniform(size=(2, count, width)))


def test_a_gaussian_draws_its_mean_plus_its_deviation_times_a_normal_number() -> None:
    policy, u = GaussianPolicy(3, 2, (8,)), uniform(2)
    params = policy.layout.views(policy.init(GENERATORS))
    params["log_std"][:] = torch.tensor([[-1.0, 0.5], [-9.0, 0.0]])  # clamped to -5
    deviation = np.exp(np.array([[-1.0, 0.5], [-5.0, 0.0]]))[:, None]
    expected = policy.mean(params, OBSERVATIONS).numpy() + deviation * special.ndtri(u.numpy())
    np.testing.assert_allclose(policy.draw(params, OBSERVATIONS, u), expected, rtol=1e-5, atol=1e-6)


def test_a_squashed_gaussian_draws_inside_the_unit_box() -> None:
    policy, u = SquashedGaussianPolicy(3, 2, (8,), -20.0, 2.0), uniform(2)
    params = policy.layout.views(policy.init(GENERATORS))
    mean, log_std = np.split(policy.net(params, OBSERVATIONS).numpy(), 2, -1)
    expected = np.tanh(mean + np.exp(log_std) * special.ndtri(u.numpy()))
    np.testing.assert_allclose(policy.draw(params, OBSERVATIONS, u), expected, rtol=1e-5, atol=1e-6)


def test_a_categorical_policy_draws_by_its_probabilities() -> None:
    policy = CategoricalPolicy(3, 4, (8,))
    params = policy.layout.views(policy.init(GENERATORS))
    params["1.bias"].copy_(torch.tensor([2.0, 0.0, 1.0, -1.0]).expand(2, -1))
    observations = OBSERVATIONS[:, :1].expand(-1, 20_000, -1)
    drawn = policy.draw(params, observations, uniform(4, 20_000))
    probabilities = policy.net(params, OBSERVATIONS[:, :1]).softmax(-1)[:, 0]
    for k in range(2):
        found = np.bincount(drawn[k, :, 0].long().numpy(), minlength=4) / 20_000
        np.testing.assert_allclose(found, probabilities[k], atol=0.012)


def test_a_deterministic_policy_draws_its_action() -> None:
    policy = DeterministicPolicy(3, 2, (8,))
    params = policy.layout.views(policy.init(GENERATORS))
    assert policy.noise_width == 0
    assert torch.equal(policy.draw(params, OBSERVATIONS, uniform(0)), policy.mean(params, OBSERVATIONS))
