"""Fitted Q evaluation against the exact Q of a tabular MDP, for many policies at once."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch

from algos.errors import ConfigError
from algos.estimators.fitted_q import FittedQ, FittedQConfig
from algos.estimators.policies import Choices
from envs.data.trajectories import Trajectories
from tests.helpers.mdp import DISCOUNT, POLICIES, infinite, sampled

SETTINGS = FittedQConfig(updates=1500, batch_size=64, hidden=[32], learning_rate=5e-3, target_rate=0.05, discount=DISCOUNT)


def choices_at(observations: torch.Tensor, policies: np.ndarray = POLICIES) -> Choices:
    """Every action with its probability at one-hot `observations`."""
    shares = torch.from_numpy(policies[:, observations.argmax(1).numpy()]).float().transpose(1, 2)
    actions = torch.eye(2)[:, None].expand(len(policies), 2, len(observations), 2)
    return Choices(actions, shares)


def fitted(data: Trajectories, policies: np.ndarray = POLICIES, settings: FittedQConfig = SETTINGS) -> FittedQ:
    found = FittedQ(settings, data, choices_at(data.next_observations, policies))
    found.fit()
    return found


def test_q_of_every_policy() -> None:
    """Within 0.1 of values up to 10: bootstrapping goes on behind truncated episodes and ends at terminal steps."""
    data = sampled(300, 0)
    assert data.terminated.any()
    assert (data.truncated & ~data.terminated).any()
    states, actions = torch.eye(3).repeat_interleave(2, 0), torch.tensor([0.0, 1.0] * 3)[:, None]
    found, q = fitted(data), infinite()
    np.testing.assert_allclose(found.q(states, actions).view(3, 3, 2), q, atol=0.1)
    values = found.values(torch.eye(3), choices_at(torch.eye(3)))
    np.testing.assert_allclose(values, (POLICIES * q).sum(-1), atol=0.1)


def test_a_member_equals_the_policy_alone() -> None:
    data, short = sampled(50, 0), replace(SETTINGS, updates=50)
    together, alone = fitted(data, settings=short), fitted(data, POLICIES[1:2], short)
    torch.testing.assert_close(together.flat[1], alone.flat[0], rtol=1e-5, atol=1e-6)
    again = fitted(data, settings=short)
    assert torch.equal(together.flat, again.flat)


def test_equal_policies_have_equal_values() -> None:
    """Initial parameters and batches are common to all policies."""
    found = fitted(sampled(50, 0), POLICIES[[0, 0]], replace(SETTINGS, updates=50))
    torch.testing.assert_close(found.flat[0], found.flat[1], rtol=1e-5, atol=1e-7)


def test_values_stay_in_the_range_of_the_rewards() -> None:
    """A learning rate at which bootstrapping would run away."""
    data = sampled(50, 0)
    found = fitted(data, settings=replace(SETTINGS, updates=300, learning_rate=1.0, target_rate=1.0))
    low, high = data.rewards.min() / (1 - DISCOUNT), data.rewards.max() / (1 - DISCOUNT)
    targets = found.centre + found.width * found._targets(torch.arange(len(data.rewards)))
    assert (targets >= low - 1e-3).all()
    assert (targets <= high + 1e-3).all()


@pytest.mark.parametrize(("key", "value"), [("updates", 0), ("discount", 0.0), ("discount", 1.5), ("target_rate", 2.0), ("seed", -1)])
def test_refused_settings(key: str, value: float) -> None:
    with pytest.raises(ConfigError, match=f"--{key} = {value}: expected"):
        replace(SETTINGS, **{key: value}).check("--")
