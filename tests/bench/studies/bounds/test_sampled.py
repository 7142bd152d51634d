"""Sampled settings: log-likelihoods of episodes, scalar products of their gradients, samples of rewarded episodes, intervals."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from algos.likelihood import StepLikelihood
from algos.networks.policies import GaussianPolicy
from bench.studies.bounds.likelihood import gradient_products, log_likelihood
from bench.studies.bounds.sampled import Size, logged, play, sample, wilson
from tests.helpers.learners import episodes_of

FORK = Size("iwsft/fork-v0", 1, 1, 16)


def test_log_likelihoods_of_episodes_and_products_of_their_gradients() -> None:
    data = episodes_of(count=4)
    net = GaussianPolicy(data.observations.shape[1], data.actions.shape[1], (5,))
    flat = net.init([torch.Generator().manual_seed(k) for k in range(2)])
    likelihood = StepLikelihood(net, data)
    found = log_likelihood(likelihood, flat)
    episodes = torch.tensor([2, 0])
    products = gradient_products(likelihood, flat, episodes)
    for member in range(2):
        own, gradients = flat[member : member + 1].clone().requires_grad_(), []
        for episode in (2, 0):
            first, stop = data.offsets[episode : episode + 2].tolist()
            params = net.layout.views(own)
            total = net.log_prob(params, data.observations[None, first:stop], data.actions[None, first:stop]).sum()
            assert float(found[member, episode]) == pytest.approx(total.item(), rel=1e-5)
            gradients.append(torch.autograd.grad(total, own)[0][0])
        expected = torch.stack(gradients) @ torch.stack(gradients).T
        np.testing.assert_allclose(products[member], expected, rtol=1e-4, atol=1e-4)


def test_training_and_held_out_episodes_are_the_recipes_and_share_none() -> None:
    first, second = play(FORK, 0, 1)[:20], play(FORK, 1, 1)[:20]
    assert {e.job.episode for e in first} == {0}
    assert {e.job.episode for e in second} == {1}
    assert not {float(e.observations[0][0]) for e in first} & {float(e.observations[0][0]) for e in second}
    data = logged(first)
    assert data.lengths.tolist() == [len(e.rewards) for e in first]
    threshold = float(data.returns.sort().values[-5])
    kept = sample(first, threshold)
    assert kept.data.num_episodes == 5
    assert kept.share == 1 / 20
    best = [e for e in first if e.rewards.sum() >= threshold - 1e-6]
    np.testing.assert_allclose(kept.log_density, [e.log_prob.sum() for e in best])


def test_wilsons_interval() -> None:
    assert wilson(8, 10) == pytest.approx((0.4902, 0.9433), abs=1e-4)  # Wilson 1927
    assert wilson(0, 16)[0] == 0
