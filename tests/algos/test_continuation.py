"""The stage that goes on online: the method, or AWAC's updates of its policy after a critic has been trained for it."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from algos.batches.replay import Replay
from algos.batches.returns import deviation_of_returns
from algos.continuation import actor_critic, joined_state, load_state, own_stage
from algos.errors import ConfigError
from algos.registry import build, goes_online
from tests.helpers.chain import DISCOUNT, STATES, mixed_data, move
from tests.helpers.learners import POINTS, configured, episodes_of, small


def test_methods_that_go_on() -> None:
    assert {name for name in POINTS if goes_online(configured(name))} >= {"awac", "iql", "rebrac", "td3_bc"}
    assert not goes_online(configured("cfgrl"))
    for name in POINTS:
        if goes_online(configured(name)):
            algo = small(name, episodes_of())
            assert own_stage(algo) is algo
    with pytest.raises(ConfigError, match="WeightedBC does not go on online"):
        own_stage(build(configured("bc", "algo.hidden=[7]"), episodes_of(), (0,)))


@pytest.mark.parametrize("name", ["bc", "sft", "iql", "awac"])
def test_the_stage_trains_the_policy_of_the_method(name: str) -> None:
    """One memory holds the policy of both, also after a state was loaded."""
    config, data = configured(name, "algo.hidden=[7,6]"), episodes_of()
    pi_ref = build(configured("bc", "algo.hidden=[7,6]"), data, (3, 8)).policy()
    algo = build(config, data, (3, 8), pi_ref)
    stage = actor_critic(algo, 16, 1e-3)
    load_state(algo, stage, {k: v.clone() for k, v in joined_state(algo, stage).items()})
    before = algo.act(torch.ones(2, 4, 3))
    assert torch.equal(stage.act(torch.ones(2, 4, 3)), before)
    stage.go_online(Replay(Replay.empty(2, 5, 3, 2, algo.device), taken=5), 0.5)
    stage.train(0, 3)
    assert not torch.equal(algo.act(torch.ones(2, 4, 3)), before)
    assert torch.equal(stage.act(torch.ones(2, 4, 3)), algo.act(torch.ones(2, 4, 3)))


@pytest.mark.parametrize("name", ["td3_bc", "cql"])
def test_a_policy_that_is_no_gaussian_is_one_line(name: str) -> None:
    with pytest.raises(ConfigError, match=r"online.stage = actor_critic: it needs a Gaussian policy of continuous actions"):
        actor_critic(small(name, episodes_of()), 16, 1e-3)


def test_the_policy_learns_from_its_own_steps_alone() -> None:
    """Logged actions do not enter the loss of the policy; its own do."""
    data = episodes_of()
    stage = actor_critic(build(configured("bc", "algo.hidden=[7,6]"), data, (3, 8)), 16, 1e-3)
    state = {k: torch.randn(v.shape) if v.is_floating_point() else v for k, v in Replay.empty(2, 5, 3, 2, stage.device).items()}
    stage.go_online(Replay(state, taken=5), 0.25)
    batch, weights = stage.stream.from_draws(stage.stream.draws(1)), torch.rand(2, 16)
    losses = stage.likelihood_losses(stage.state["policy"], batch, weights)
    for columns, same in ((slice(0, 4), True), (slice(4, 16), False)):
        actions = batch.actions.clone()
        actions[:, columns] += 0.3
        changed = stage.likelihood_losses(stage.state["policy"], batch._replace(actions=actions), weights)
        assert torch.equal(changed, losses) == same
    log_prob = stage.policy_net.log_prob(stage.params(stage.state["policy"]), batch.observations, batch.actions)
    torch.testing.assert_close(losses, -(weights * log_prob)[:, 4:].mean(-1))
    stage.begin()
    moved = stage.state["policy"] + 0.1
    own = stage.likelihood_losses(moved, batch, torch.zeros(2, 16))
    expected = stage.policy_net.kl(stage.params(moved), stage.params(stage.state["policy"]), batch.observations[:, 4:])
    torch.testing.assert_close(own, 3 * expected.mean(-1))
    assert (own > 0).all()


def test_an_advantage_of_half_a_deviation_of_returns_weighs_e() -> None:
    """Smaller differences, such as errors of the critic, hardly tell actions apart."""
    stage = actor_critic(build(configured("bc", "algo.hidden=[7,6]"), episodes_of(), (3, 8)), 16, 1e-3)
    advantages = 0.5 * deviation_of_returns(stage.data, 0.99) * stage.reward_factor * torch.tensor([[1.0, 0.04]])
    found = stage.weights(advantages.expand(2, 2))
    torch.testing.assert_close(found, torch.tensor([[1.0, 0.04]] * 2).exp())


def test_the_critic_of_a_fixed_policy_is_its_value() -> None:
    """Fitted Q evaluation on the chain, whose Q of a Gaussian policy is known: it goes right with probability Phi(mean / std)."""
    algo = build(configured("bc", "algo.hidden=[32,32]", "algo.updates=300", "algo.learning_rate=2e-3"), mixed_data(), (0,))
    algo.train(0, 300)
    stage = actor_critic(algo, 128, 3e-3)
    stage.discount.fill_(DISCOUNT)
    stage.config.critics = 2
    before = algo.state["policy"].clone()
    stage.go_online(Replay(Replay.empty(1, 5, STATES, 1, algo.device)), 1.0)
    with torch.no_grad():
        for update in range(1500):
            stage.evaluate_policy(stage.draws(update), stage.scalar(0.05))
    assert torch.equal(algo.state["policy"], before)
    eye = torch.eye(STATES)[None]
    std = algo.policy()["log_std"].exp().item()
    right = torch.special.ndtr(algo.act(eye)[0, :, 0] / std).numpy()
    exact = np.zeros((STATES, 2))
    for _ in range(200):
        value = right * exact[:, 1] + (1 - right) * exact[:, 0]
        for s in range(STATES):
            for a in (0, 1):
                following, reward, terminated = move(s, bool(a))
                exact[s, a] = reward + DISCOUNT * (not terminated) * value[following]
    for a, action in enumerate((-0.8, 0.8)):
        found = stage.critic(stage.state["critic"], eye, torch.full((1, STATES, 1), action))[0].mean(0).numpy()
        np.testing.assert_allclose(found / stage.reward_factor, exact[:, a], atol=0.08)
