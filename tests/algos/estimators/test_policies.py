"""The policies whose return is estimated: mean actions, samples and densities of populations of several methods."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch

from algos.base import Algo
from algos.estimators.policies import encoded, has_density, log_densities, mean_choices, sampled_choices
from algos.registry import build
from tests.helpers.learners import configured, episodes_of, small

DATA = episodes_of()
STOCHASTIC = ("iql", "awac", "cql")  # a Gaussian, one on normalised observations, a squashed Gaussian


def populations(names: tuple[str, ...] = STOCHASTIC) -> list[Algo]:
    return [small(name, DATA, [k, k + 10]) for k, name in enumerate(names)]


def test_members_are_laid_end_to_end() -> None:
    algos = populations(("td3_bc", *STOCHASTIC))
    found = mean_choices(algos, DATA.observations)
    assert found.actions.shape == (8, 1, DATA.num_steps, 2)
    assert (found.shares == 1).all()
    expected = torch.cat([algo.act(DATA.observations.expand(2, -1, -1)) for algo in algos])
    torch.testing.assert_close(found.actions[:, 0], expected)


def test_which_methods_have_a_density() -> None:
    found = {name: has_density(small(name, DATA)) for name in ("td3_bc", "rebrac", "cfgrl", *STOCHASTIC)}
    assert found == dict.fromkeys(("td3_bc", "rebrac", "cfgrl"), False) | dict.fromkeys(STOCHASTIC, True)
    assert not has_density(small("iql", DATA, [0], "algo.actor=deterministic"))


def test_samples_are_of_the_density() -> None:
    """Mass in the box and mean action of samples are the integrals of the density over a grid, for a Gaussian and a squashed one."""
    algos = [algo for algo in populations() if type(algo).__name__ != "AWAC"]
    state = DATA.observations[:1]
    axis = torch.linspace(-0.99, 0.99, 60)
    grid = torch.stack(torch.meshgrid(axis, axis, indexing="ij"), -1).view(-1, 2)
    density = log_densities(algos, state.expand(len(grid), -1), grid).exp()  # [P, grid]
    samples = sampled_choices(algos, state, 8_000, seed=0)
    inside = (samples.actions.abs() < 1).all(-1)[..., 0].double().mean(1)
    np.testing.assert_allclose(density.sum(1) * (axis[1] - axis[0]) ** 2, inside, atol=0.03)
    first = samples.actions[:, :, 0, 0]
    mean = (density * grid[:, 0]).sum(1) / density.sum(1)
    drawn = torch.stack([x[i].mean() for x, i in zip(first, (samples.actions.abs() < 1).all(-1)[..., 0], strict=True)])
    np.testing.assert_allclose(mean, drawn, atol=0.03)
    assert torch.equal(sampled_choices(algos, state, 5, seed=0).actions, sampled_choices(algos, state, 5, seed=0).actions)


def test_discrete_actions_have_exact_probabilities() -> None:
    data = replace(DATA, actions=torch.arange(DATA.num_steps).remainder(3)[:, None].float(), num_actions=3)
    algo = build(configured("bc", "algo.hidden=[5]"), data, [0, 1])
    assert has_density(algo)
    found = sampled_choices([algo], data.observations, samples=1, seed=0)
    assert found.actions.shape == (2, 3, data.num_steps, 3)
    torch.testing.assert_close(found.shares.sum(1), torch.ones(2, data.num_steps))
    logged = log_densities([algo], data.observations, data.actions)
    torch.testing.assert_close(logged.exp(), (found.shares * encoded(data.actions, 3).T).sum(1))
    likeliest = mean_choices([algo], data.observations).actions[:, 0].argmax(-1)
    assert torch.equal(likeliest, found.shares.argmax(1))


@pytest.mark.parametrize("log_std", [-1.0, 0.5])
def test_the_density_of_a_squashed_gaussian_is_that_of_its_samples(log_std: float) -> None:
    (algo,) = populations(("cql",))
    net, params = algo.policy_net, algo.params(algo.state["policy"])  # type: ignore[attr-defined]
    states, noise = DATA.observations.expand(2, -1, -1), torch.full((2, DATA.num_steps, 2), log_std)
    actions, density = net.sample(params, states, noise)
    torch.testing.assert_close(net.log_prob(params, states, actions), density, rtol=1e-4, atol=1e-4)
