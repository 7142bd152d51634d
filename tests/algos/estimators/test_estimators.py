"""Estimators against exact values: a tabular MDP whose episodes are enumerated, the two-armed bandit, and samples of both."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import Tensor

from algos.batches.curation import Curation
from algos.estimators.doubly_robust import doubly_robust
from algos.estimators.likelihood import curated_likelihood
from algos.estimators.per_decision import per_decision
from algos.estimators.ratios import effective_episodes, log_weights, normalised_weights, plain_weights
from algos.estimators.td_error import td_error
from bench.studies.bandit import pulls
from envs.data.trajectories import Trajectories
from tests.helpers.episodes import from_episodes
from tests.helpers.mdp import BEHAVIOUR, DISCOUNT, HORIZON, POLICIES, REWARD, enumerated, episode, exact, infinite, logged, sampled


def log_ratios(data: Trajectories, policies: np.ndarray = POLICIES) -> Tensor:
    states, actions = data.observations.argmax(1).numpy(), data.actions[:, 0].long().numpy()
    with np.errstate(divide="ignore"):
        return torch.from_numpy(np.log(policies[:, states, actions]) - np.log(BEHAVIOUR[states, actions]))


def looked_up(data: Trajectories, q: np.ndarray) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """Q of the logged actions, V of the observations, of the next ones, and after each episode, under the tables `q`."""
    states, after = data.observations.argmax(1).numpy(), data.next_observations.argmax(1).numpy()
    values = (POLICIES * q).sum(-1)
    tables = (
        q[:, states, data.actions[:, 0].long().numpy()],
        values[:, states],
        values[:, after],
        values[:, after[data.offsets[1:].numpy() - 1]],
    )
    return tuple(map(torch.from_numpy, tables))  # type: ignore[return-value]


EXACT = torch.tensor([exact(policy) for policy in POLICIES], dtype=torch.float64)


def test_importance_sampling_is_exact_on_enumerated_episodes() -> None:
    """Over all episodes at their exact shares an unbiased estimator is the value itself. The second policy never takes some actions."""
    data = enumerated()
    weights = log_weights(data, log_ratios(data))
    torch.testing.assert_close(per_decision(data, plain_weights(weights), DISCOUNT), EXACT)
    torch.testing.assert_close(per_decision(data, normalised_weights(data, weights), DISCOUNT), EXACT)  # mean weights are 1
    assert len({round(float(x), 6) for x in EXACT}) == len(POLICIES)


@pytest.mark.parametrize("scale", [0.0, 1.0, -3.0])
def test_doubly_robust_is_exact_for_any_q(scale: float) -> None:
    """Unbiased for every Q: also for a wrong one. Truncated episodes end at the horizon here, so V after them is 0."""
    data = enumerated()
    weights, (q, values, _, last) = plain_weights(log_weights(data, log_ratios(data))), looked_up(data, scale * infinite())
    torch.testing.assert_close(doubly_robust(data, weights, q, values, 0 * last, DISCOUNT), EXACT)


def test_doubly_robust_with_the_true_q_needs_one_episode() -> None:
    """With the exact Q of a deterministic world every single episode gives the value without a horizon, whatever its weights."""
    q = infinite()
    expected = torch.from_numpy((POLICIES * q).sum(-1)[:, 0])
    for actions in ((0, 1, 1), (1, 0, 1), (0, 0, 0)):
        data = logged([episode(actions)])
        weights, (own, values, _, last) = plain_weights(log_weights(data, log_ratios(data))), looked_up(data, q)
        torch.testing.assert_close(doubly_robust(data, weights, own, values, last, DISCOUNT), expected)
    assert data.terminated[-1]  # its last value is not used
    torch.testing.assert_close(doubly_robust(data, weights, own, values, last + 5, DISCOUNT), expected)


def test_samples_agree_within_their_error() -> None:
    """Means over 40 data sets of 200 episodes: plain weights within three standard errors; normalised ones within 0.05, and
    none beyond what rewards allow."""
    found = []
    for seed in range(40):
        data = sampled(200, seed)
        weights = log_weights(data, log_ratios(data))
        found.append([per_decision(data, w, DISCOUNT) for w in (plain_weights(weights), normalised_weights(data, weights))])
    drawn = torch.stack([torch.stack(each) for each in found])  # [data set, estimator, policy]
    error = drawn.std(0) / len(drawn) ** 0.5
    assert ((drawn.mean(0)[0] - EXACT).abs() <= 3 * error[0] + 1e-9).all()
    assert ((drawn.mean(0)[1] - EXACT).abs() < 0.05).all()
    assert drawn[:, 1].abs().max() < REWARD.max() * HORIZON


def test_the_bandit() -> None:
    """Exact for every pi(right) on the four pulls, whose shares are those of the behaviour."""
    data, right = pulls(), torch.tensor([0.0, 0.3, 2 / 3, 1.0], dtype=torch.float64)
    probability = torch.stack([1 - right, right], 1)[:, data.actions[:, 0].long()]
    weights = log_weights(data, (probability / 0.5).log())
    expected = 0.5 * (1 - right) + right
    torch.testing.assert_close(per_decision(data, plain_weights(weights), 1.0), expected)
    torch.testing.assert_close(per_decision(data, normalised_weights(data, weights), 1.0), expected)
    torch.testing.assert_close(effective_episodes(data, weights)[[0, 3]], torch.tensor([2.0, 2.0], dtype=torch.float64))


def test_normalised_weights_by_a_loop() -> None:
    """An ended episode counts in the mean of later steps with its last weight."""
    data = sampled(30, 1)
    weights = log_weights(data, log_ratios(data))[0]
    found = normalised_weights(data, weights[None])[0]
    starts, lengths = data.offsets[:-1].tolist(), data.lengths.tolist()
    for t in range(HORIZON):
        each = [weights[s + min(t, n - 1)].exp() for s, n in zip(starts, lengths, strict=True)]
        for (s, n), weight in zip(zip(starts, lengths, strict=True), each, strict=True):
            if t < n:
                assert float(found[s + t]) == pytest.approx(float(weight / np.mean(each)), rel=1e-9)
    assert len(set(lengths)) > 1


def test_weights_of_long_episodes_stay_finite() -> None:
    data = from_episodes([(np.zeros((2001, 1)), np.zeros((2000, 1)), np.ones(2000), np.zeros(2000, bool), np.zeros(2000, bool))] * 2)
    log_ratio = torch.linspace(-9, 9, 4)[:, None].expand(-1, 4000).clone()
    log_ratio[:, :2000] *= 0.9
    weights = log_weights(data, log_ratio)
    assert per_decision(data, plain_weights(weights), 0.99).isfinite().all()
    torch.testing.assert_close(per_decision(data, normalised_weights(data, weights), 1.0), torch.full((4,), 2000.0, dtype=torch.float64))
    assert ((effective_episodes(data, weights) >= 1) & (effective_episodes(data, weights) <= 2)).all()


def test_td_error_of_the_true_q_is_zero() -> None:
    """A constant error c of Q has the TD error c (1 - discount), and c at a terminal step."""
    data, q = enumerated(), infinite()
    own, _, after, _ = looked_up(data, q)
    assert float(td_error(data, own, after, DISCOUNT).max()) < 1e-10
    share = data.terminated.double().mean()
    expected = share * 4.0 + (1 - share) * (2.0 * (1 - DISCOUNT)) ** 2
    torch.testing.assert_close(td_error(data, own + 2, after + 2, DISCOUNT), expected.expand(3))


def test_likelihood_of_the_curated_part() -> None:
    """The better half of two episodes; under nested filters an episode that is kept twice counts twice."""
    data = logged([episode((0, 1, 1)), episode((1, 1, 1)), episode((1, 1, 1))])
    assert data.returns.tolist() == [0 - 1 + 1, 1 + 3 - 1, 1 + 3 - 1]
    density = torch.arange(9.0)[None]
    assert curated_likelihood(data, density, Curation([50])).tolist() == [(3 + 4 + 5 + 6 + 7 + 8) / 6]
    assert curated_likelihood(data, density, Curation([0, 50])).tolist() == [(0 + 1 + 2 + 2 * 33) / 15]
