"""Losses and TD targets of each method equal a NumPy computation in float64; tests of target networks, schedules and bootstrap masks."""

from __future__ import annotations

import math
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

from algos.batches.returns import lambda_returns
from algos.networks.critics import expectile_losses, polyak
from algos.optimizer import Schedule
from tests.helpers.episodes import from_episodes
from tests.helpers.learners import ACT, episodes_of, forward, in_double, member, q_values, small, snapshot

TOLERANCE = 1e-5


def case(name: str, *overrides: str) -> tuple[Any, Any, dict[str, Tensor]]:
    """A population after three updates (target networks then differ from the networks), a batch, and a copy of the state."""
    algo = in_double(small(name, episodes_of(2), (3, 8), *overrides))
    algo.train(0, 3)
    return algo, algo.stream.batch(3), snapshot(algo)


def view(batch: Any, k: int) -> SimpleNamespace:
    """Member k's batch as NumPy arrays."""
    one = member(batch, k)
    return SimpleNamespace(
        s=one.observations.numpy(), a=one.actions.numpy(), r=one.rewards.numpy(), s2=one.next_observations.numpy(), live=one.live.numpy(),
        step=one.step.numpy(), noise={name: x.numpy() for name, x in one.noise.items()},
    )  # fmt: skip


def mean_of(algo: Any, flat: Tensor, s: np.ndarray) -> np.ndarray:
    return np.tanh(forward(algo.policy_net.net, flat, s))


def log_normal(algo: Any, flat: Tensor, s: np.ndarray, a: np.ndarray) -> np.ndarray:
    log_std = np.clip(flat.numpy()[-ACT:], -5, 2)
    z = (a - mean_of(algo, flat, s)) / np.exp(log_std)
    return (-0.5 * z**2 - log_std - 0.5 * np.log(2 * np.pi)).sum(-1)


def drawn(algo: Any, flat: Tensor, s: np.ndarray, noise: np.ndarray) -> np.ndarray:
    return np.clip(mean_of(algo, flat, s) + np.exp(np.clip(flat.numpy()[-ACT:], -5, 2)) * noise, -1, 1)


def squashed(algo: Any, flat: Tensor, s: np.ndarray, noise: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Actions and log-densities, by the textbook form of the change of variables."""
    net = algo.policy_net
    out = forward(net.net, flat, s)
    log_std = np.clip(out[..., ACT:] + net.log_std_offset, net.log_std_min, net.log_std_max)
    a = np.tanh(out[..., :ACT] + np.exp(log_std) * noise)
    return a, (-0.5 * noise**2 - log_std - 0.5 * np.log(2 * np.pi) - np.log(1 - a**2)).sum(-1)


def near(found: Tensor, k: int, expected: float) -> None:
    assert float(found[k]) == pytest.approx(expected, abs=TOLERANCE, rel=TOLERANCE)


@pytest.mark.parametrize("k", [0, 1])
def test_iql(k: int) -> None:
    algo, batch, old = case("iql")
    b = view(batch, k)
    found = algo.update(algo.state, batch)
    new = algo.state
    q = q_values(algo, old["target_critic"][k], b.s, b.a).min(0)
    u = q - forward(algo.value.net, old["value"][k], b.s)[:, 0]
    near(found["value_loss"], k, np.mean(np.abs(0.7 - (u < 0)) * u**2))
    adv = q - forward(algo.value.net, new["value"][k], b.s)[:, 0]
    w = np.minimum(np.exp(3 * adv), 100)
    near(found["loss"], k, -np.mean(w * log_normal(algo, old["policy"][k], b.s, b.a)))
    y = b.r + 0.99 * b.live * forward(algo.value.net, new["value"][k], b.s2)[:, 0]
    near(found["critic_loss"], k, ((q_values(algo, old["critic"][k], b.s, b.a) - y) ** 2).mean(1).sum())


@pytest.mark.parametrize("k", [0, 1])
@pytest.mark.parametrize("name", ["td3_bc", "rebrac"])
def test_td3(name: str, k: int) -> None:
    algo, batch, old = case(name)
    b = view(batch, k)
    a2 = np.clip(mean_of(algo, old["target_policy"][k], b.s2) + np.clip(0.2 * b.noise["next"], -0.5, 0.5), -1, 1)
    value = q_values(algo, old["target_critic"][k], b.s2, a2).min(0)
    if name == "rebrac":
        ends = algo.data.offsets.numpy()[1:] - 1
        logged = algo.data.actions.numpy()[np.minimum(b.step + 1, len(algo.data.actions) - 1)]
        value = value - 0.5 * ((a2 - logged) ** 2).sum(-1) * ~np.isin(b.step, ends)
    y = b.r + 0.99 * b.live * value
    policy_loss = algo.policy_losses(old["policy"], old, batch)
    found = algo.update(algo.state, batch)
    near(found["critic_loss"], k, ((q_values(algo, old["critic"][k], b.s, b.a) - y) ** 2).mean(1).sum())
    a = mean_of(algo, old["policy"][k], b.s)
    q = q_values(algo, old["critic"][k], b.s, a)
    if name == "td3_bc":
        expected = -2.5 * q[0].mean() / np.abs(q[0]).mean() + ((a - b.a) ** 2).mean()
    else:
        expected = 0.05 * ((a - b.a) ** 2).sum(-1).mean() - q.min(0).mean() / np.abs(q.min(0)).mean()
    near(policy_loss, k, expected)


@pytest.mark.parametrize("k", [0, 1])
@pytest.mark.parametrize("name", ["awac", "crr"])
def test_awac_and_crr(name: str, k: int) -> None:
    algo, batch, old = case(name)
    b = view(batch, k)
    found = algo.update(algo.state, batch)
    a2 = drawn(algo, old["target_policy" if name == "crr" else "policy"][k], b.s2, b.noise["next"])
    y = b.r + 0.99 * b.live * q_values(algo, old["target_critic"][k], b.s2, a2).min(0)
    near(found["critic_loss"], k, ((q_values(algo, old["critic"][k], b.s, b.a) - y) ** 2).mean(1).sum())
    after = algo.state["critic"][k]
    own = [q_values(algo, after, b.s, drawn(algo, old["policy"][k], b.s, noise)).min(0) for noise in b.noise["own"]]
    assert len(own) == (4 if name == "crr" else 1)
    adv = q_values(algo, after, b.s, b.a).min(0) - np.mean(own, 0)
    w = np.minimum(np.exp(adv), 20) if name == "crr" else np.minimum(np.exp(adv / 0.3333), 100)
    near(found["loss"], k, -np.mean(w * log_normal(algo, old["policy"][k], b.s, b.a)))


@pytest.mark.parametrize("k", [0, 1])
@pytest.mark.parametrize("name", ["awr", "rwr", "marwil"])
def test_awr_rwr_and_marwil(name: str, k: int) -> None:
    algo, batch, _ = case(name, "algo.refresh_every=3")
    data, b = algo.data, view(batch, k)
    algo.before(3)
    old = snapshot(algo)
    s, s2, r = (x.numpy() for x in (data.observations, data.next_observations, data.rewards))
    v = np.zeros(len(s)) if name == "rwr" else 100 * forward(algo.value.net, old["value"][k], s)[:, 0]
    v2 = np.zeros(len(s)) if name == "rwr" else 100 * forward(algo.value.net, old["value"][k], s2)[:, 0]
    trace = 0.95 if name == "awr" else 1.0
    # the forward view: G = V(s) + sum of (discount lambda)^i times the TD errors of the rest of the episode
    delta, g = r + 0.99 * ~data.terminated.numpy() * v2 - v, np.zeros(len(s))
    for first, end in zip(data.offsets[:-1].tolist(), data.offsets[1:].tolist(), strict=True):
        for t in range(first, end):
            g[t] = v[t] + sum((0.99 * trace) ** (i - t) * delta[i] for i in range(t, end))
    np.testing.assert_allclose(old["returns"][k].numpy(), g, atol=TOLERANCE)
    adv = g - v
    if name == "marwil":
        square = float(old["square"][k]) * 0.99 + 0.01 * np.mean(adv[b.step] ** 2)
        w = np.minimum(np.exp(adv[b.step] / np.sqrt(square)), 1000)
    else:
        w = np.minimum(np.exp((adv - adv.mean()) / (adv.std() + 1e-5)), 20)[b.step]
    found = algo.update(algo.state, batch)
    near(found["loss"], k, -np.mean(w * log_normal(algo, old["policy"][k], b.s, b.a)))
    if name != "rwr":
        near(found["value_loss"], k, 0.5 * np.mean(((g[b.step] - v[b.step]) / 100) ** 2))


@pytest.mark.parametrize("k", [0, 1])
@pytest.mark.parametrize("name", ["cql", "cal_ql"])
def test_cql(name: str, k: int) -> None:
    algo, batch, old = case(name)
    b, e = view(batch, k), math.exp(float(algo.state["log_entropy_weight"][k, 0]))
    found = algo.update(algo.state, batch)
    policy = old["policy"][k]
    a, log_p = squashed(algo, policy, b.s, b.noise["own"])
    near(found["loss"], k, np.mean(e * log_p - q_values(algo, old["critic"][k], b.s, a).min(0)))
    y = b.r + 0.99 * b.live * q_values(algo, old["target_critic"][k], b.s2, squashed(algo, policy, b.s2, b.noise["next"])[0]).min(0)
    q = q_values(algo, old["critic"][k], b.s, b.a)
    terms = [(x, np.full(len(b.s), ACT * math.log(0.5))) for x in b.noise["random"]]
    terms += [squashed(algo, policy, s, x) for s, name in ((b.s, "many_own"), (b.s2, "many_next")) for x in b.noise[name]]
    assert len(terms) == 30
    values = [q_values(algo, old["critic"][k], b.s, x) for x, _ in terms]
    if name == "cal_ql":
        bounds = returns_to_go(algo)[b.step]
        assert any((v < bounds).any() for v in values[10:])
        values[10:] = [np.maximum(v, bounds) for v in values[10:]]
    total = sum(np.exp(v - density) for v, (_, density) in zip(values, terms, strict=True))
    near(found["critic_loss"], k, (((q - y) ** 2) + (10 if name == "cql" else 5) * (np.log(total) - q)).mean(1).sum())
    loss = algo.entropy_losses(old["log_entropy_weight"], torch.from_numpy(np.stack([log_p, log_p])))
    near(loss, k, -math.log(e) * np.mean(log_p - ACT))


def returns_to_go(algo: Any) -> np.ndarray:
    """Discounted sums of rewards to the end of each step's episode."""
    found = np.zeros(len(algo.stream.rewards))
    for first, end in zip(algo.data.offsets[:-1].tolist(), algo.data.offsets[1:].tolist(), strict=True):
        for t in range(first, end):
            found[t] = sum(0.99 ** (i - t) * float(algo.stream.rewards[i]) for i in range(t, end))
    return found


@pytest.mark.parametrize("k", [0, 1])
def test_rlpd(k: int) -> None:
    algo, batch, old = case("rlpd")
    b, e = view(batch, k), math.exp(float(algo.state["log_entropy_weight"][k, 0]))
    found = algo.update(algo.state, batch)
    a2, log_p2 = squashed(algo, old["policy"][k], b.s2, b.noise["next"])
    chosen = np.argsort(-b.noise["subset"])[:2]
    y = b.r + 0.99 * b.live * (q_values(algo, old["target_critic"][k], b.s2, a2)[chosen].min(0) - e * log_p2)
    near(found["critic_loss"], k, ((q_values(algo, old["critic"][k], b.s, b.a) - y) ** 2).mean(1).sum())
    after = algo.state["critic"][k]
    a, log_p = squashed(algo, old["policy"][k], b.s, b.noise["own"])
    loss = algo.policy_losses(old["policy"], algo.state, batch, algo.entropy_weight(old))
    near(loss, k, np.mean(e * log_p - q_values(algo, after, b.s, a).mean(0)))
    entropy = algo.entropy_losses(old["log_entropy_weight"], torch.from_numpy(np.stack([log_p, log_p])))
    near(entropy, k, -math.log(e) * np.mean(log_p - ACT / 2))
    algo.delayed(algo.state, batch)
    assert not torch.equal(algo.state["policy"][k], old["policy"][k])
    assert not torch.equal(algo.state["log_entropy_weight"][k], old["log_entropy_weight"][k])


@pytest.mark.parametrize("k", [0, 1])
@pytest.mark.parametrize("name", ["edac", "sac_n"])
def test_edac_and_sac_n(name: str, k: int) -> None:
    algo, batch, old = case(name)
    b = view(batch, k)
    found = algo.update(algo.state, batch)
    e = math.exp(float(algo.state["log_entropy_weight"][k, 0]))
    a, log_p = squashed(algo, old["policy"][k], b.s, b.noise["own"])
    near(found["loss"], k, np.mean(e * log_p - q_values(algo, old["critic"][k], b.s, a).min(0)))
    a2, log_p2 = squashed(algo, algo.state["policy"][k], b.s2, b.noise["next"])
    y = b.r + 0.99 * b.live * (q_values(algo, old["target_critic"][k], b.s2, a2).min(0) - e * log_p2)
    expected = ((q_values(algo, old["critic"][k], b.s, b.a) - y) ** 2).mean(1).sum()
    if name == "edac":
        shift = 1e-6 * np.eye(ACT)
        slope = [(q_values(algo, old["critic"][k], b.s, b.a + d) - q_values(algo, old["critic"][k], b.s, b.a - d)) / 2e-6 for d in shift]
        g = np.stack(slope, -1)
        g /= np.linalg.norm(g, axis=-1, keepdims=True) + 1e-10
        pairs = [(g[i] * g[j]).sum(-1).mean() for i in range(4) for j in range(4) if i != j]
        expected += sum(pairs) / 3
    near(found["critic_loss"], k, expected)


def velocity(algo: Any, flat: Tensor, x: np.ndarray, tau: np.ndarray, s: np.ndarray, flag: int) -> np.ndarray:
    angles = 1e4 * tau[:, None] * 1e4 ** (-np.arange(8) / 8)
    hot = np.tile(np.eye(2)[flag], (len(s), 1))
    return forward(algo.policy_net.net, flat, np.concatenate([s, x, np.cos(angles), np.sin(angles), hot], -1))


@pytest.mark.parametrize("k", [0, 1])
def test_cfgrl(k: int) -> None:
    algo, batch, old = case("cfgrl")
    b, adv = view(batch, k), np.linspace(-1, 1, 16) * (1, -2)[k]
    loss = algo.policy_losses(old["policy"], batch, torch.from_numpy(np.linspace(-1, 1, 16) * np.array([[1], [-2]])))
    tau = np.floor((b.noise["time"] + 1) / 2 * 33) / 32
    e = b.noise["start"]
    x = (1 - tau)[:, None] * e + tau[:, None] * b.a
    error = [((velocity(algo, old["policy"][k], x, tau, b.s, flag) - (b.a - e)) ** 2).mean(1) for flag in (0, 1)]
    near(loss, k, np.mean((adv > 0) * error[1] + 0.1 * error[0]))


def test_training_does_not_use_guidance() -> None:
    """Acting takes 32 Euler steps along v0 + w (v1 - v0) from starts that do not depend on the batch; training does not use w."""
    algo, _, _ = case("cfgrl", "algo.guidance=3")
    other, _, _ = case("cfgrl", "algo.guidance=0")
    for part, value in algo.state.items():
        assert torch.equal(value, other.state[part])
    s = torch.randn(2, 4, 3, dtype=torch.float64)
    found = algo.act(s)
    for k in range(2):
        x = np.random.Generator(np.random.Philox(np.random.SeedSequence([algo.seeds[k], 0xCF6]))).standard_normal((1, ACT)).repeat(4, 0)
        for i in range(32):
            v0, v1 = (velocity(algo, algo.state["policy"][k], x, np.full(4, i / 32), s[k].numpy(), flag) for flag in (0, 1))
            x = x + (v0 + 3 * (v1 - v0)) / 32
        np.testing.assert_allclose(found[k].numpy(), np.clip(x, -1, 1), atol=1e-9)
    torch.testing.assert_close(found[:, :2], algo.act(s[:, :2]), rtol=0, atol=1e-12)
    assert not torch.allclose(found, other.act(s))


def test_target_networks_move_by_the_rate_of_each_member() -> None:
    target, source, rate = torch.zeros(2, 3), torch.tensor([[1.0, 2.0, 3.0], [4.0, 5.0, 6.0]]), torch.tensor([0.5, 0.1])
    polyak(target, source, rate)
    torch.testing.assert_close(target, torch.tensor([[0.5, 1.0, 1.5], [0.4, 0.5, 0.6]]))
    algo, batch, old = case("iql")
    algo.update(algo.state, batch)
    expected = 0.995 * old["target_critic"].numpy() + 0.005 * algo.state["critic"].numpy()
    np.testing.assert_allclose(algo.state["target_critic"].numpy(), expected, atol=1e-9)


def test_expectile_differs_from_member_to_member() -> None:
    u = torch.tensor([[-1.0, 2.0], [-1.0, 2.0]])
    torch.testing.assert_close(expectile_losses(u, torch.tensor([0.5, 0.9])), torch.tensor([(0.5 + 2.0) / 2, (0.1 + 3.6) / 2]))


def test_td3_delays_its_policy() -> None:
    algo = small("td3_bc", episodes_of())
    start = snapshot(algo)
    algo.train(0, 1)
    assert torch.equal(algo.state["policy"], start["policy"])
    assert torch.equal(algo.state["target_critic"], start["target_critic"])
    assert not torch.equal(algo.state["critic"], start["critic"])
    algo.train(1, 2)
    assert not torch.equal(algo.state["policy"], start["policy"])
    assert not torch.equal(algo.state["target_critic"], start["target_critic"])
    assert int(algo.state["policy.steps"]) == 1


def test_the_cosine_schedule_applies_to_the_policy_alone() -> None:
    """The last of 20 updates moves the policy by a small step (cosine schedule) and the critic by a full one."""
    moved: dict[str, dict[str, float]] = {}
    for schedule in Schedule:
        algo = in_double(small("iql", episodes_of(), (3,), f"algo.schedule={schedule.name}"))
        algo.train(0, 19)
        before = snapshot(algo)
        algo.train(19, 20)
        moved[schedule.name] = {p: float((algo.state[p] - before[p]).abs().max()) for p in ("policy", "critic")}
    share = 0.5 * (1 + math.cos(math.pi * 19 / 20))
    assert moved["cosine"]["policy"] < 3 * share * moved["constant"]["policy"]
    assert moved["cosine"]["critic"] > 0.3 * moved["constant"]["critic"]


VALUE_METHODS = ("iql", "td3_bc", "rebrac", "awac", "crr", "cql", "cal_ql", "edac", "sac_n", "cfgrl", "rlpd")


@pytest.mark.parametrize("name", VALUE_METHODS)
def test_time_limits_bootstrap_and_terminations_do_not(name: str) -> None:
    """The TD target of a last step is the reward alone if the episode terminated, and has a bootstrapped value if it was truncated."""
    zeros = np.zeros((2, 3))
    ends = [(np.array([True]), np.array([False])), (np.array([False]), np.array([True]))]
    data = from_episodes([(zeros, np.zeros((1, ACT)), np.array([2.0]), *flags) for flags in ends])
    algo = small(name, data, (3, 8), "algo.reward_scaling=none")
    algo.state["target_critic"] += 1.0  # so that the bootstrapped value is not 0
    if "value" in algo.state:
        algo.state["value"] += 1.0
    seen: list[tuple[Tensor, Tensor]] = []
    backup = algo.backup
    algo.backup = lambda batch, next_values: seen.append((batch.step, backup(batch, next_values))) or seen[-1][1]
    algo.train(0, 1)
    (step, target), reward = seen[0], float(algo.stream.rewards[0])
    assert (target[step == 0] == reward).all()
    assert (target[step == 1] != reward).all()
    assert {0, 1} == set(step.flatten().tolist())


def test_returns_bootstrap_at_the_end_of_a_truncated_episode() -> None:
    zeros, one = np.zeros((3, 1)), np.ones(2)
    flags = np.array([False, True]), np.array([False, False])
    data = from_episodes([(zeros, np.zeros((2, 1)), one, *flags), (zeros, np.zeros((2, 1)), one, *flags[::-1])])
    values, last = torch.full((1, 4), 10.0), torch.full((1, 2), 10.0)
    for trace, expected in ((1.0, [1.5, 1.0, 1 + 0.5 * 6, 6.0]), (0.0, [6.0, 1.0, 6.0, 6.0])):
        found = lambda_returns(data, data.rewards, values, last, torch.tensor([0.5]), torch.tensor([trace]))
        torch.testing.assert_close(found[0], torch.tensor(expected))
