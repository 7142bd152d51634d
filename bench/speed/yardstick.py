"""The yardstick: a plain eager training loop with one seed per process and one module per network, the style of most public code.

Mathematics, settings and data are the suite's; tests compare losses and parameters. It uses nn.Module, torch.optim.Adam,
and a buffer of tensors indexed by torch.randint. It is as fast as that style allows: data on the device, one loss read back every 1,000
updates, distributions without argument checks, target networks moved in place.
"""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from copy import deepcopy
from itertools import pairwise
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.distributions import Normal

from algos.base import Episodes
from algos.batches.curation import SCORES, strata
from algos.likelihood import CHUNK
from algos.networks.policies import LOG_STD_MAX, LOG_STD_MIN
from algos.weights import tempered_weights
from bench.speed.workload import Work, Workload, configured, data_for, rhythm

LOG_EVERY = 1_000  # updates


def mlp(*sizes: int) -> nn.Sequential:
    """Linear layers with ReLU between them."""
    layers: list[nn.Module] = []
    for a, b in pairwise(sizes):
        layers += [nn.Linear(a, b), nn.ReLU()]
    return nn.Sequential(*layers[:-1])


class GaussianActor(nn.Module):
    """Normal(tanh(net(s)), exp(log_std))."""

    def __init__(self, observation_width: int, action_width: int, hidden: list[int]) -> None:
        super().__init__()
        self.net = mlp(observation_width, *hidden, action_width)
        self.log_std = nn.Parameter(torch.zeros(action_width))

    def forward(self, observations: Tensor) -> Normal:
        std = self.log_std.clamp(LOG_STD_MIN, LOG_STD_MAX).exp()
        return Normal(self.net(observations).tanh(), std, validate_args=False)

    def log_prob(self, observations: Tensor, actions: Tensor) -> Tensor:
        return self(observations).log_prob(actions).sum(-1)


class DeterministicActor(nn.Module):
    """a = tanh(net(s))."""

    def __init__(self, observation_width: int, action_width: int, hidden: list[int]) -> None:
        super().__init__()
        self.net = mlp(observation_width, *hidden, action_width)

    def forward(self, observations: Tensor) -> Tensor:
        return self.net(observations).tanh()


class Critic(nn.Module):
    """Q(s, a)."""

    def __init__(self, observation_width: int, action_width: int, hidden: list[int]) -> None:
        super().__init__()
        self.net = mlp(observation_width + action_width, *hidden, 1)

    def forward(self, observations: Tensor, actions: Tensor) -> Tensor:
        return self.net(torch.cat([observations, actions], -1)).squeeze(-1)


class TwinCritic(nn.Module):
    """Q_1 and Q_2."""

    def __init__(self, observation_width: int, action_width: int, hidden: list[int]) -> None:
        super().__init__()
        self.q1 = Critic(observation_width, action_width, hidden)
        self.q2 = Critic(observation_width, action_width, hidden)

    def forward(self, observations: Tensor, actions: Tensor) -> tuple[Tensor, Tensor]:
        return self.q1(observations, actions), self.q2(observations, actions)

    def smaller(self, observations: Tensor, actions: Tensor) -> Tensor:
        return torch.min(*self(observations, actions))


class Value(nn.Module):
    """V(s)."""

    def __init__(self, observation_width: int, hidden: list[int]) -> None:
        super().__init__()
        self.net = mlp(observation_width, *hidden, 1)

    def forward(self, observations: Tensor) -> Tensor:
        return self.net(observations).squeeze(-1)


def step(optimizer: torch.optim.Optimizer, loss: Tensor) -> None:
    optimizer.zero_grad()
    loss.backward()
    optimizer.step()


def soft_update(target: nn.Module, source: nn.Module, rate: float) -> None:
    for t, p in zip(target.parameters(), source.parameters(), strict=True):
        t.data.lerp_(p.data, rate)


class ReplayBuffer:
    """Transitions as tensors on the device."""

    def __init__(self, data: Episodes, rewards: Tensor, normalize: bool = False) -> None:
        shift, scale = torch.zeros_like(data.observations[0]), torch.ones_like(data.observations[0])
        if normalize:
            shift, scale = data.observations.mean(0), data.observations.std(0, correction=0) + 1e-3
        self.observations = (data.observations - shift) / scale
        self.next_observations = (data.next_observations - shift) / scale
        self.actions, self.rewards = data.actions, rewards
        self.live = 1.0 - data.terminated.float()

    def at(self, index: Tensor) -> tuple[Tensor, ...]:
        """(s, a, r, s', live) at `index` [B]."""
        return self.observations[index], self.actions[index], self.rewards[index], self.next_observations[index], self.live[index]

    def sample(self, batch_size: int) -> tuple[Tensor, ...]:
        return self.at(torch.randint(0, len(self.rewards), (batch_size,), device=self.rewards.device))


class Trainer(ABC):
    """The training loop of all methods."""

    def __init__(self, config: Any, data: Episodes) -> None:
        self.config, self.device = config, data.observations.device
        self.widths = data.observations.shape[1], data.actions.shape[1]
        self.logged: dict[str, float] = {}

    @abstractmethod
    def sample(self) -> tuple[Tensor, ...]:
        """A batch."""

    @abstractmethod
    def update(self, t: int, *batch: Tensor) -> dict[str, Tensor]:
        """Update number `t` on a batch; returns its losses."""

    def train(self, start: int, stop: int) -> None:
        for t in range(start, stop):
            losses = self.update(t, *self.sample())
            if t % LOG_EVERY == 0:
                self.logged = {name: loss.item() for name, loss in losses.items()}


class BC(Trainer):
    """Behaviour cloning: -log pi(a|s) on all data."""

    def __init__(self, config: Any, data: Episodes) -> None:
        super().__init__(config, data)
        self.observations, self.actions = data.observations, data.actions
        self.actor = GaussianActor(*self.widths, config.hidden).to(self.device)
        self.optimizer = torch.optim.Adam(self.actor.parameters(), lr=config.learning_rate)

    def sample(self) -> tuple[Tensor, ...]:
        index = torch.randint(0, len(self.actions), (self.config.batch_size,), device=self.device)
        return self.observations[index], self.actions[index]

    def update(self, t: int, *batch: Tensor) -> dict[str, Tensor]:
        loss = -self.actor.log_prob(*batch).mean()
        step(self.optimizer, loss)
        return {"loss": loss}


class IWSFTQ(Trainer):
    """iw-SFT(Q): -w(tau) log pi(a|s) on the nested best trajectories, w from the moving average q and pi_ref (weighted_bc.py)."""

    def __init__(self, config: Any, data: Episodes) -> None:
        super().__init__(config, data)
        self.observations, self.actions = data.observations, data.actions
        curated = torch.from_numpy(strata(SCORES[config.curation.score](data).cpu().numpy(), config.curation.percentiles)).to(self.device)
        self.index, self.slot = self._flatten(data, curated)  # every step of the multiset, and its trajectory
        self.distinct, self.slots_episode = torch.unique(curated, return_inverse=True)
        self.steps, self.episode = self._flatten(data, self.distinct)  # every step once
        self.lengths = data.lengths[self.distinct]
        self.actor = GaussianActor(*self.widths, config.hidden).to(self.device)
        self.optimizer = torch.optim.Adam(self.actor.parameters(), lr=config.learning_rate)
        self.scheduler = torch.optim.lr_scheduler.LambdaLR(self.optimizer, self._rate)
        self.start_from(self.actor.state_dict())

    @staticmethod
    def _flatten(data: Episodes, episodes: Tensor) -> tuple[Tensor, Tensor]:
        """The steps of `episodes` one after another, and the position of each step's episode in `episodes`."""
        steps = [torch.arange(int(data.offsets[e]), int(data.offsets[e + 1]), device=episodes.device) for e in episodes]
        return torch.cat(steps), torch.repeat_interleave(torch.arange(len(episodes), device=episodes.device), data.lengths[episodes])

    def _rate(self, t: int) -> float:
        training = self.config
        rise = min(t / training.warmup_updates, 1.0) if training.warmup_updates else 1.0
        done = min(max((t - training.warmup_updates) / max(1, training.updates - training.warmup_updates), 0.0), 1.0)
        return rise * 0.5 * (1 + math.cos(math.pi * done))

    def start_from(self, parameters: dict[str, Tensor]) -> None:
        """Set pi_ref, the policy and q to `parameters`."""
        self.actor.load_state_dict(parameters)
        self.q = deepcopy(self.actor).requires_grad_(False)
        self.reference_log_prob = self._log_prob(self.q)
        self.weights = torch.ones(len(self.slots_episode), device=self.device)

    @torch.no_grad()
    def _log_prob(self, actor: GaussianActor) -> Tensor:
        return torch.cat([actor.log_prob(self.observations[part], self.actions[part]) for part in self.steps.split(CHUNK)])

    @torch.no_grad()
    def refresh(self) -> None:
        """Compute the weight of every trajectory under the current q."""
        w = self.config.weighting
        ratio = self._log_prob(self.q) - self.reference_log_prob
        mean = torch.zeros(len(self.lengths), device=self.device).index_add_(0, self.episode, ratio) / self.lengths
        slots = mean[self.slots_episode]
        base = self.lengths[self.slots_episode] / len(self.index)
        floor = max(w.min_ess, min(1.0, w.min_trajectories / len(self.lengths)))
        temperature, limit = (torch.tensor([x], device=self.device) for x in (w.temperature, floor))
        self.weights = tempered_weights(slots[None], base[None], temperature, limit)[0][0]

    def sample(self) -> tuple[Tensor, ...]:
        drawn = torch.randint(0, len(self.index), (self.config.batch_size,), device=self.device)
        return self.index[drawn], self.slot[drawn]

    def update(self, t: int, *batch: Tensor) -> dict[str, Tensor]:
        index, slot = batch
        if t % self.config.weighting.refresh_every == 0:
            self.refresh()
        soft_update(self.q, self.actor, self.config.weighting.ema_rate)
        loss = -(self.weights[slot] * self.actor.log_prob(self.observations[index], self.actions[index])).mean()
        step(self.optimizer, loss)
        self.scheduler.step()
        return {"loss": loss}


class IQL(Trainer):
    """Implicit Q-learning (algos/methods/iql.py): V, policy, Q, target."""

    def __init__(self, config: Any, data: Episodes) -> None:
        super().__init__(config, data)
        factor = config.reward_scaling.factor(data) * config.reward_scale
        self.buffer = ReplayBuffer(data, data.rewards * factor + config.reward_shift, config.normalize_observations)
        self.actor = GaussianActor(*self.widths, config.hidden).to(self.device)
        self.critic = TwinCritic(*self.widths, config.hidden).to(self.device)
        self.value = Value(self.widths[0], config.hidden).to(self.device)
        self.target = deepcopy(self.critic).requires_grad_(False)
        self.actor_optimizer = torch.optim.Adam(self.actor.parameters(), lr=config.learning_rate)
        self.critic_optimizer = torch.optim.Adam(self.critic.parameters(), lr=config.critic_learning_rate)
        self.value_optimizer = torch.optim.Adam(self.value.parameters(), lr=config.critic_learning_rate)
        self.scheduler = torch.optim.lr_scheduler.CosineAnnealingLR(self.actor_optimizer, config.updates)

    def sample(self) -> tuple[Tensor, ...]:
        return self.buffer.sample(self.config.batch_size)

    def update_value(self, observations: Tensor, q: Tensor) -> Tensor:
        u = q - self.value(observations)
        loss = (torch.abs(self.config.expectile - (u < 0).float()) * u**2).mean()
        step(self.value_optimizer, loss)
        return loss

    def update_actor(self, observations: Tensor, actions: Tensor, advantage: Tensor) -> Tensor:
        weights = torch.exp(self.config.temperature * advantage).clamp(max=self.config.max_weight)
        loss = -(weights * self.actor.log_prob(observations, actions)).mean()
        step(self.actor_optimizer, loss)
        self.scheduler.step()
        return loss

    def update_critic(self, observations: Tensor, actions: Tensor, target: Tensor) -> Tensor:
        q1, q2 = self.critic(observations, actions)
        loss = F.mse_loss(q1, target) + F.mse_loss(q2, target)
        step(self.critic_optimizer, loss)
        soft_update(self.target, self.critic, self.config.target_rate)
        return loss

    def update(self, t: int, *batch: Tensor) -> dict[str, Tensor]:
        observations, actions, rewards, next_observations, live = batch
        with torch.no_grad():
            q = self.target.smaller(observations, actions)
        value_loss = self.update_value(observations, q)
        with torch.no_grad():
            advantage = q - self.value(observations)
            target = rewards + self.config.discount * live * self.value(next_observations)
        policy_loss = self.update_actor(observations, actions, advantage)
        critic_loss = self.update_critic(observations, actions, target)
        return {"loss": policy_loss, "critic_loss": critic_loss, "value_loss": value_loss}


class TD3BC(Trainer):
    """TD3+BC (algos/methods/td3_bc.py): Q, and every second update the policy and the targets."""

    def __init__(self, config: Any, data: Episodes) -> None:
        super().__init__(config, data)
        self.buffer = ReplayBuffer(data, data.rewards, config.normalize_observations)
        self.actor = DeterministicActor(*self.widths, config.hidden).to(self.device)
        self.critic = TwinCritic(*self.widths, config.hidden).to(self.device)
        self.actor_target = deepcopy(self.actor).requires_grad_(False)
        self.target = deepcopy(self.critic).requires_grad_(False)
        self.actor_optimizer = torch.optim.Adam(self.actor.parameters(), lr=config.learning_rate)
        self.critic_optimizer = torch.optim.Adam(self.critic.parameters(), lr=config.critic_learning_rate)

    def sample(self) -> tuple[Tensor, ...]:
        return self.buffer.sample(self.config.batch_size)

    def update(self, t: int, *batch: Tensor) -> dict[str, Tensor]:
        observations, actions, rewards, next_observations, live = batch
        config = self.config
        with torch.no_grad():
            noise = (torch.randn_like(actions) * config.policy_noise).clamp(-config.noise_clip, config.noise_clip)
            next_actions = (self.actor_target(next_observations) + noise).clamp(-1, 1)
            target = rewards + config.discount * live * self.target.smaller(next_observations, next_actions)
        q1, q2 = self.critic(observations, actions)
        critic_loss = F.mse_loss(q1, target) + F.mse_loss(q2, target)
        step(self.critic_optimizer, critic_loss)
        losses = {"critic_loss": critic_loss}
        if (t + 1) % config.policy_delay == 0:
            losses["loss"] = self.update_actor(observations, actions)
        return losses

    def update_actor(self, observations: Tensor, actions: Tensor) -> Tensor:
        """A step of the policy and of the targets. As in the authors' code the critic gets unused gradients, too."""
        chosen = self.actor(observations)
        q = self.critic.q1(observations, chosen)
        loss = -self.config.alpha / q.abs().mean().detach() * q.mean() + F.mse_loss(chosen, actions)
        step(self.actor_optimizer, loss)
        soft_update(self.target, self.critic, self.config.target_rate)
        soft_update(self.actor_target, self.actor, self.config.target_rate)
        return loss


TRAINERS: dict[str, type[Trainer]] = {"bc": BC, "iw_sft_q": IWSFTQ, "iql": IQL, "td3_bc": TD3BC}


def yardstick(workload: Workload) -> Work:
    """The yardstick's loop for one member, seed 0."""
    torch.manual_seed(0)
    config = configured(workload)
    return Work(TRAINERS[workload.method](config, data_for(workload)).train, *rhythm(config))
