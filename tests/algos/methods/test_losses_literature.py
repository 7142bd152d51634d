"""Updates of each method equal a plain reimplementation in the form of the literature: one module per network, torch's Adam, float64."""

from __future__ import annotations

import copy
import math
from collections.abc import Callable
from typing import Any

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor
from torch.distributions import Normal, TanhTransform, TransformedDistribution

from tests.helpers.learners import ACT, Critics, Net, doubled, episodes_of, in_double, member, small, soft_update, step

UPDATES = 5
MemberGroups = dict[str, Tensor]
Do = Callable[[int, Any], None]


def adam(module: Any, rate: float) -> torch.optim.Adam:
    return torch.optim.Adam(module if isinstance(module, list) else module.parameters(), lr=rate)


def gaussian(net: Net, s: Tensor) -> Normal:
    return Normal(torch.tanh(net(s)), net.log_std.clamp(-5, 2).exp())


def iql(algo: Any, k: int) -> tuple[Do, Callable[[], MemberGroups]]:
    state = algo.state
    q, v, pi = (
        Critics(algo.critic.net, state["critic"][k], 2),
        Net(algo.value.net, state["value"][k]),
        Net(algo.policy_net.net, state["policy"][k]),
    )
    qbar = copy.deepcopy(q)
    opt_q, opt_v, opt_pi = adam(q, 3e-4), adam(v, 3e-4), adam(pi, 3e-4)
    old = algo.config.value_used.name == "old"

    def do(t: int, b: Any) -> None:
        with torch.no_grad():
            target_q = qbar(b.observations, b.actions).min(0).values
            old_v, old_next = v(b.observations).squeeze(-1), v(b.next_observations).squeeze(-1)
        diff = target_q - v(b.observations).squeeze(-1)
        step(opt_v, (torch.where(diff > 0, 0.7, 1 - 0.7) * diff**2).mean())
        with torch.no_grad():
            value, next_values = (old_v, old_next) if old else (v(b.observations).squeeze(-1), v(b.next_observations).squeeze(-1))
            weight = torch.exp((target_q - value) * 3.0).clamp(max=100.0)
            target = b.rewards + 0.99 * b.live * next_values
        for group in opt_pi.param_groups:
            group["lr"] = 3e-4 * 0.5 * (1 + math.cos(math.pi * t / 20))
        if pi.log_std is None:
            log_prob = -((torch.tanh(pi(b.observations)) - b.actions) ** 2).sum(-1)
        else:
            log_prob = gaussian(pi, b.observations).log_prob(b.actions).sum(-1)
        step(opt_pi, -(weight * log_prob).mean())
        q1, q2 = q(b.observations, b.actions)
        step(opt_q, ((q1 - target) ** 2 + (q2 - target) ** 2).mean())
        soft_update(qbar, q, 0.005)

    return do, lambda: {"critic": q.flat(), "value": v.flat(), "policy": pi.flat(), "target_critic": qbar.flat()}


def td3_bc(algo: Any, k: int) -> tuple[Do, Callable[[], MemberGroups]]:
    q, pi = Critics(algo.critic.net, algo.state["critic"][k], 2), Net(algo.policy_net.net, algo.state["policy"][k])
    qbar, pibar = copy.deepcopy(q), copy.deepcopy(pi)
    opt_q, opt_pi = adam(q, 3e-4), adam(pi, 3e-4)

    def do(t: int, b: Any) -> None:
        with torch.no_grad():
            noise = (b.noise["next"] * 0.2).clamp(-0.5, 0.5)
            next_action = (torch.tanh(pibar(b.next_observations)) + noise).clamp(-1, 1)
            q1, q2 = qbar(b.next_observations, next_action)
            target = b.rewards + b.live * 0.99 * torch.min(q1, q2)
        q1, q2 = q(b.observations, b.actions)
        step(opt_q, F.mse_loss(q1, target) + F.mse_loss(q2, target))
        if (t + 1) % 2 == 0:
            action = torch.tanh(pi(b.observations))
            value = q(b.observations, action)[0]
            scale = 2.5 / value.abs().mean().detach()
            step(opt_pi, -scale * value.mean() + F.mse_loss(action, b.actions))
            soft_update(qbar, q, 0.005)
            soft_update(pibar, pi, 0.005)

    return do, lambda: {"critic": q.flat(), "policy": pi.flat(), "target_critic": qbar.flat(), "target_policy": pibar.flat()}


def rebrac(algo: Any, k: int) -> tuple[Do, Callable[[], MemberGroups]]:
    q, pi = Critics(algo.critic.net, algo.state["critic"][k], 2), Net(algo.policy_net.net, algo.state["policy"][k])
    qbar, pibar = copy.deepcopy(q), copy.deepcopy(pi)
    opt_q, opt_pi = adam(q, 1e-3), adam(pi, 1e-3)
    data, last = algo.data, set((algo.data.offsets[1:] - 1).tolist())

    def do(t: int, b: Any) -> None:
        steps = b.step.tolist()
        has_next = torch.tensor([s not in last for s in steps])
        next_data = torch.stack([data.actions[s + 1] if s not in last else data.actions[s] for s in steps])
        with torch.no_grad():
            noise = (b.noise["next"] * 0.2).clamp(-0.5, 0.5)
            next_action = (torch.tanh(pibar(b.next_observations)) + noise).clamp(-1, 1)
            penalty = torch.where(has_next, ((next_action - next_data) ** 2).sum(-1), 0.0)
            target = b.rewards + b.live * 0.99 * (qbar(b.next_observations, next_action).min(0).values - 0.5 * penalty)
        step(opt_q, ((q(b.observations, b.actions) - target[None]) ** 2).mean(1).sum(0))
        if (t + 1) % 2 == 0:
            action = torch.tanh(pi(b.observations))
            value = q(b.observations, action).min(0).values
            loss = (0.05 * ((action - b.actions) ** 2).sum(-1) - value / value.abs().mean().detach()).mean()
            step(opt_pi, loss)
            soft_update(qbar, q, 0.005)
            soft_update(pibar, pi, 0.005)

    return do, lambda: {"critic": q.flat(), "policy": pi.flat(), "target_critic": qbar.flat(), "target_policy": pibar.flat()}


def awac(algo: Any, k: int) -> tuple[Do, Callable[[], MemberGroups]]:
    q, pi = Critics(algo.critic.net, algo.state["critic"][k], 2), Net(algo.policy_net.net, algo.state["policy"][k])
    qbar = copy.deepcopy(q)
    opt_q, opt_pi = adam(q, 3e-4), adam(pi, 3e-4)

    def draw(s: Tensor, noise: Tensor) -> Tensor:
        dist = gaussian(pi, s)
        return (dist.loc + dist.scale * noise).clamp(-1, 1)

    def do(t: int, b: Any) -> None:
        with torch.no_grad():
            next_action = draw(b.next_observations, b.noise["next"])
            target = b.rewards + 0.99 * b.live * qbar(b.next_observations, next_action).min(0).values
        q1, q2 = q(b.observations, b.actions)
        step(opt_q, F.mse_loss(q1, target) + F.mse_loss(q2, target))
        with torch.no_grad():
            v = q(b.observations, draw(b.observations, b.noise["own"][0])).min(0).values
            adv = q(b.observations, b.actions).min(0).values - v
            weights = torch.clamp_max(torch.exp(adv / 0.3333), 100.0)
        step(opt_pi, (-gaussian(pi, b.observations).log_prob(b.actions).sum(-1) * weights).mean())
        soft_update(qbar, q, 0.005)

    return do, lambda: {"critic": q.flat(), "policy": pi.flat(), "target_critic": qbar.flat()}


def crr(algo: Any, k: int) -> tuple[Do, Callable[[], MemberGroups]]:
    q, pi = Net(algo.critic.net, algo.state["critic"][k]), Net(algo.policy_net.net, algo.state["policy"][k])
    qbar, pibar = copy.deepcopy(q), copy.deepcopy(pi)
    opt_q, opt_pi = adam(q, 3e-4), adam(pi, 3e-4)
    binary, largest = algo.config.weight.name == "binary", algo.config.baseline.name == "max"

    def value(net: Net, s: Tensor, a: Tensor) -> Tensor:
        return net(torch.cat([s, a], -1)).squeeze(-1)

    def do(t: int, b: Any) -> None:
        with torch.no_grad():
            dist = gaussian(pibar, b.next_observations)
            target = b.rewards + 0.99 * b.live * value(qbar, b.next_observations, (dist.loc + dist.scale * b.noise["next"]).clamp(-1, 1))
        step(opt_q, F.mse_loss(value(q, b.observations, b.actions), target))
        with torch.no_grad():
            dist = gaussian(pi, b.observations)
            own = torch.stack([value(q, b.observations, (dist.loc + dist.scale * eps).clamp(-1, 1)) for eps in b.noise["own"]])
            assert len(own) == 4
            adv = value(q, b.observations, b.actions) - (own.max(0).values if largest else own.mean(0))
            weight = (adv > 0).double() if binary else torch.exp(adv).clamp(max=20)
        step(opt_pi, -(weight * gaussian(pi, b.observations).log_prob(b.actions).sum(-1)).mean())
        soft_update(qbar, q, 0.005)
        soft_update(pibar, pi, 0.005)

    return do, lambda: {"critic": q.flat(), "policy": pi.flat(), "target_critic": qbar.flat(), "target_policy": pibar.flat()}


class Squashed:
    """A tanh-Gaussian from a network with two heads."""

    def __init__(self, net: Net, low: float, high: float, offset: float) -> None:
        self.net, self.low, self.high, self.offset = net, low, high, offset

    def __call__(self, s: Tensor, noise: Tensor) -> tuple[Tensor, Tensor]:
        mean, log_std = torch.split(self.net(s), ACT, dim=-1)
        std = torch.clamp(log_std + self.offset, self.low, self.high).exp()
        dist = TransformedDistribution(Normal(mean, std), TanhTransform(cache_size=1))
        action = torch.tanh(mean + std * noise)
        return action, dist.log_prob(action).sum(-1)


def cql(algo: Any, k: int) -> tuple[Do, Callable[[], MemberGroups]]:
    q, pi_net = Critics(algo.critic.net, algo.state["critic"][k], 2), Net(algo.policy_net.net, algo.state["policy"][k])
    pi, qbar, log_alpha = Squashed(pi_net, -20, 2, -1.0), copy.deepcopy(q), torch.zeros(1, dtype=torch.float64, requires_grad=True)
    opt_q, opt_pi, opt_alpha = adam(q, 3e-4), adam(pi_net, 3e-5), adam([log_alpha], 3e-5)

    def do(t: int, b: Any) -> None:
        new_action, log_pi = pi(b.observations, b.noise["own"])
        alpha_loss = -(log_alpha * (log_pi - ACT).detach()).mean()
        alpha = log_alpha.exp().detach()
        policy_loss = (alpha * log_pi - q(b.observations, new_action).min(0).values).mean()
        with torch.no_grad():
            next_action, _ = pi(b.next_observations, b.noise["next"])
            target = b.rewards + b.live * 0.99 * qbar(b.next_observations, next_action).min(0).values
            own = [pi(b.observations, eps) for eps in b.noise["many_own"]]
            next_samples = [pi(b.next_observations, eps) for eps in b.noise["many_next"]]
        predicted = q(b.observations, b.actions)
        q_loss = sum(F.mse_loss(p, target) for p in predicted)
        for i, net in enumerate(q):

            def at(a: Tensor, net: Net = net) -> Tensor:
                return net(torch.cat([b.observations, a], -1)).squeeze(-1)

            cat = torch.stack(
                [at(a) - math.log(0.5**ACT) for a in b.noise["random"]]
                + [at(a) - log_p for a, log_p in next_samples]
                + [at(a) - log_p for a, log_p in own],
                dim=1,
            )
            assert cat.shape[1] == 30
            q_loss = q_loss + 10.0 * (torch.logsumexp(cat, dim=1) - predicted[i]).mean()
        grads = torch.autograd.grad(policy_loss, list(pi_net.parameters()))
        step(opt_q, q_loss)
        step(opt_alpha, alpha_loss)
        for p, g in zip(pi_net.parameters(), grads, strict=True):
            p.grad = g
        opt_pi.step()
        soft_update(qbar, q, 0.005)

    return do, lambda: {"critic": q.flat(), "policy": pi_net.flat(), "target_critic": qbar.flat(), "log_entropy_weight": log_alpha.detach()}


def edac(algo: Any, k: int) -> tuple[Do, Callable[[], MemberGroups]]:
    n, eta = algo.critic.size, float(algo.eta[k])
    q, pi_net = Critics(algo.critic.net, algo.state["critic"][k], n), Net(algo.policy_net.net, algo.state["policy"][k])
    pi, qbar, log_alpha = Squashed(pi_net, -5, 2, 0.0), copy.deepcopy(q), torch.zeros(1, dtype=torch.float64, requires_grad=True)
    opt_q, opt_pi, opt_alpha = adam(q, 3e-4), adam(pi_net, 3e-4), adam([log_alpha], 3e-4)

    def do(t: int, b: Any) -> None:
        with torch.no_grad():
            _, log_pi = pi(b.observations, b.noise["own"])
        step(opt_alpha, (-log_alpha * (log_pi - ACT)).mean())
        alpha = log_alpha.exp().detach()
        action, log_pi = pi(b.observations, b.noise["own"])
        step(opt_pi, (alpha * log_pi - q(b.observations, action).min(0).values).mean())
        with torch.no_grad():
            next_action, next_log_pi = pi(b.next_observations, b.noise["next"])
            q_next = qbar(b.next_observations, next_action).min(0).values - alpha * next_log_pi
            target = b.rewards + 0.99 * b.live * q_next
        loss = ((q(b.observations, b.actions) - target[None]) ** 2).mean(1).sum(0)
        if eta:
            copies = [b.actions.clone().requires_grad_() for _ in range(n)]
            grads = [
                torch.autograd.grad(net(torch.cat([b.observations, a], -1)).sum(), a, create_graph=True)[0]
                for net, a in zip(q, copies, strict=True)
            ]
            unit = torch.stack([g / (g.norm(p=2, dim=1, keepdim=True) + 1e-10) for g in grads], dim=1)  # [B, N, act]
            gram = (1 - torch.eye(n, dtype=torch.float64)) * (unit @ unit.transpose(1, 2))
            loss = loss + eta * gram.sum(dim=(1, 2)).mean() / (n - 1)
        step(opt_q, loss)
        soft_update(qbar, q, 0.005)

    return do, lambda: {"critic": q.flat(), "policy": pi_net.flat(), "target_critic": qbar.flat(), "log_entropy_weight": log_alpha.detach()}


def awr(algo: Any, k: int) -> tuple[Do, Callable[[], MemberGroups]]:
    """AWR, RWR and MARWIL, with the returns of paths computed step by step."""
    name, data, every = algo.config.name, algo.data, algo.config.refresh_every
    pi = Net(algo.policy_net.net, algo.state["policy"][k])
    v = Net(algo.value.net, algo.state["value"][k]) if name != "rwr" else None
    rate, clip, trace = (1e-4, 1000.0, 1.0) if name == "marwil" else (3e-4, 20.0, 0.95 if name == "awr" else 1.0)
    opt_pi, opt_v = adam(pi, rate), None if v is None else adam(v, rate)
    table: dict[str, Any] = {}

    def value(s: Tensor) -> Tensor:
        return torch.zeros(len(s), dtype=torch.float64) if v is None else v(s).squeeze(-1) * 100.0  # 1 / (1 - 0.99)

    @torch.no_grad()
    def refresh() -> None:
        returns, values = [], []
        for first, end in zip(data.offsets[:-1].tolist(), data.offsets[1:].tolist(), strict=True):
            path = value(torch.cat([data.observations[first:end], data.next_observations[end - 1 : end]]))
            if data.terminated[end - 1]:
                path[-1] = 0.0
            rewards, found = data.rewards[first:end], torch.zeros(end - first, dtype=torch.float64)
            found[-1] = rewards[-1] + 0.99 * path[-1]
            for i in reversed(range(end - first - 1)):
                found[i] = rewards[i] + 0.99 * ((1 - trace) * path[i + 1] + trace * found[i + 1])
            returns.append(found)
            values.append(path[:-1])
        table["returns"] = torch.cat(returns)
        adv = table["returns"] - torch.cat(values)
        table.setdefault("square", (adv**2).mean())
        table["adv"] = (adv - adv.mean()) / (adv.std(correction=0) + 1e-5)

    def do(t: int, b: Any) -> None:
        if t % every == 0:
            refresh()
        returns = table["returns"][b.step]
        with torch.no_grad():
            if name == "marwil":
                adv = returns - value(b.observations)
                table["square"] = table["square"] + 0.01 * ((adv**2).mean() - table["square"])
                weight = torch.exp(adv / (table["square"].sqrt() + 1e-8))
            else:
                weight = torch.exp(table["adv"][b.step])
            weight = weight.clamp(max=clip)
        step(opt_pi, -(weight * gaussian(pi, b.observations).log_prob(b.actions).sum(-1)).mean())
        if v is not None:
            step(opt_v, 0.5 * ((returns / 100.0 - v(b.observations).squeeze(-1)) ** 2).mean())

    return do, lambda: {"policy": pi.flat()} | ({} if v is None else {"value": v.flat()})


def cfgrl(algo: Any, k: int) -> tuple[Do, Callable[[], MemberGroups]]:
    state = algo.state
    q, v, flow = (
        Critics(algo.critic.net, state["critic"][k], 2),
        Net(algo.value.net, state["value"][k]),
        Net(algo.policy_net.net, state["policy"][k]),
    )
    qbar = copy.deepcopy(q)
    opt_q, opt_v, opt_pi = adam(q, 3e-4), adam(v, 3e-4), adam(flow, 3e-4)

    def embedding(t: Tensor) -> Tensor:
        rows = [[f(float(x) * 10000 * 10000 ** (-i / 8)) for f in (math.cos, math.sin) for i in range(8)] for x in t]
        return torch.tensor(rows, dtype=torch.float64)

    def velocity(s: Tensor, x: Tensor, t: Tensor, optimal: int) -> Tensor:
        flag = F.one_hot(torch.full((len(s),), optimal), 2).double()
        return flow(torch.cat([s, x, embedding(t), flag], -1))

    def do(t: int, b: Any) -> None:
        with torch.no_grad():
            target_q = qbar(b.observations, b.actions).min(0).values
        diff = target_q - v(b.observations).squeeze(-1)
        step(opt_v, (torch.where(diff > 0, 0.9, 0.1) * diff**2).mean())
        with torch.no_grad():
            better = (target_q - v(b.observations).squeeze(-1) > 0).double()
            target = b.rewards + 0.99 * b.live * v(b.next_observations).squeeze(-1)
        tau = torch.tensor([math.floor((float(u) + 1) / 2 * 33) / 32 for u in b.noise["time"]], dtype=torch.float64)
        x0, x1 = b.noise["start"], b.actions
        x_t = x0 * (1 - tau[:, None]) + x1 * tau[:, None]
        positive = ((x1 - x0 - velocity(b.observations, x_t, tau, 1)) ** 2).mean(-1) * better
        unconditional = ((x1 - x0 - velocity(b.observations, x_t, tau, 0)) ** 2).mean(-1)
        step(opt_pi, (positive + 0.1 * unconditional).mean())
        step(opt_q, ((q(b.observations, b.actions) - target) ** 2).mean(1).sum())
        soft_update(qbar, q, 0.005)

    return do, lambda: {"critic": q.flat(), "value": v.flat(), "policy": flow.flat(), "target_critic": qbar.flat()}


CASES = [
    ("iql", iql, ()),
    ("iql", iql, ("algo.value_used=old", "algo.actor=deterministic")),
    ("td3_bc", td3_bc, ()),
    ("rebrac", rebrac, ()),
    ("awac", awac, ()),
    ("crr", crr, ()),
    ("crr", crr, ("algo.weight=binary", "algo.baseline=max")),
    ("awr", awr, ("algo.refresh_every=2",)),
    ("rwr", awr, ("algo.refresh_every=2",)),
    ("marwil", awr, ("algo.refresh_every=2",)),
    ("cql", cql, ()),
    ("edac", edac, ()),
    ("sac_n", edac, ()),
    ("cfgrl", cfgrl, ()),
]


@pytest.mark.parametrize(("name", "literature", "overrides"), CASES, ids=[" ".join((c[0], *c[2])) for c in CASES])
def test_updates_equal_a_reimplementation_from_the_literature(name: str, literature: Any, overrides: tuple[str, ...]) -> None:
    algo = in_double(small(name, episodes_of(1), (3, 8), *overrides))
    theirs = [literature(algo, k) for k in range(2)]
    start = {part: algo.state[part].clone() for part in theirs[0][1]()}
    for t in range(UPDATES):
        batch = algo.stream.batch(t)
        algo.train(t, t + 1)
        for k, (do, _) in enumerate(theirs):
            do(t, member(batch, k))
    for k, (_, parts) in enumerate(theirs):
        for part, expected in parts().items():
            assert not torch.equal(start[part][k], expected), part
            torch.testing.assert_close(algo.state[part][k], expected, rtol=0, atol=1e-7, msg=lambda m, p=part: f"{p}: {m}")


@pytest.mark.parametrize("normalize", [True, False])
def test_dft_has_the_loss_of_its_paper(normalize: bool) -> None:
    """The loss is -sg(p) log p per step (Wu et al. 2025, eq. 9); by default with the batch's weights scaled to mean 1."""
    from algos.methods.weighted_bc import WeightedBC, WeightedBCConfig
    from tests.helpers.learners import configured

    config = configured("dft", "algo.hidden=[7,6]", "algo.batch_size=16", "algo.warmup=0", f"algo.weighting.normalize={normalize}")
    data = episodes_of(1, count=30)
    pi_ref = WeightedBC(WeightedBCConfig(hidden=config.hidden), data, (3, 8)).policy()
    algo = WeightedBC(config, data, (3, 8), pi_ref)
    algo.data = algo.likelihood.data = doubled(data)
    algo.state = {k: v.double() if v.is_floating_point() else v for k, v in algo.state.items()}
    nets = [Net(algo.policy_net.net, algo.state["policy"][k]) for k in range(2)]
    optimizers = [adam(net, 4e-5) for net in nets]
    for t in range(UPDATES):
        batch = algo.stream.batch(t)
        algo.train(t, t + 1)
        for k, (net, optimizer) in enumerate(zip(nets, optimizers, strict=True)):
            for group in optimizer.param_groups:
                group["lr"] = 4e-5 * 0.5 * (1 + math.cos(math.pi * t / 4500))
            log_prob = gaussian(net, algo.data.observations[batch.step[k]]).log_prob(algo.data.actions[batch.step[k]]).sum(-1)
            p = log_prob.exp().detach()
            step(optimizer, -(p / (p.mean() if normalize else 1.0) * log_prob).mean())
    for k, net in enumerate(nets):
        torch.testing.assert_close(algo.state["policy"][k], net.flat(), rtol=0, atol=1e-9)
