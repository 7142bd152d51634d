"""What the methods that learn from single transitions share: settings, networks with their Adam, the training loop.

A method adds its networks in its constructor and says in `update` what is minimised in which order; nothing else.
Networks start from PyTorch's default initialisation, whatever a method's own code did.
"""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from algos.base import Algo, Episodes, MethodConfig, Metrics, State
from algos.batches.random_blocks import Draws
from algos.batches.transitions import Noise, RewardScaling, Transitions, TransitionStream
from algos.errors import ConfigError, require, require_positive
from algos.members import batchable
from algos.networks.mlp import Params
from algos.optimizer import Adam, Schedule, learning_rate

NORMALISED = 1 << 18  # entries of observations whose moments are taken in one go
DIAGNOSTIC_STEPS = 2_000  # evenly spaced steps that stand for the data in diagnostics


@dataclass
class LearnerConfig(MethodConfig):
    """Settings that every method of this kind has."""

    learning_rate: float = batchable(3e-4)  # of the policy
    critic_learning_rate: float = batchable(3e-4)  # of Q and V
    schedule: Schedule = Schedule.constant  # of the policy's learning rate
    discount: float = batchable(0.99)
    reward_scaling: RewardScaling = RewardScaling.none
    reward_scale: float = 1.0  # then times this
    reward_shift: float = 0.0  # then plus this
    normalize_observations: bool = False  # to mean 0 and standard deviation 1 over the data (+ 1e-3)

    def check(self, key: str = "algo") -> None:
        super().check(key)
        require_positive(self, key, "learning_rate", "critic_learning_rate", "reward_scale")
        require(0 <= self.discount < 1, f"{key}.discount", self.discount, "0 up to, not including, 1")


class Learner(Algo):
    """P members of a method that learns from transitions. `state["policy"]` holds the policy's flat parameters."""

    policy_net: Any  # a policy of algos/networks/policies.py, algos/networks/actors.py or the method's own file: has init, layout and mean

    def __init__(self, config: LearnerConfig, data: Episodes, seeds: Sequence[int]) -> None:
        if getattr(data, "next_observations", None) is None:
            raise ConfigError(f"{config.name} needs next observations, and the data have none; record them or use algo=bc")
        super().__init__(data, seeds)
        self.settings, self.updates = config, config.updates
        self.observation_width, self.action_width = data.observations.shape[1], data.actions.shape[1]
        self.hidden = tuple(config.hidden)
        rewards = data.rewards * (config.reward_scaling.factor(data) * config.reward_scale) + config.reward_shift
        shift, scale = _normaliser(data.observations, config.normalize_observations)
        self.stream = TransitionStream(data, rewards, seeds, config.batch_size, self.noise(), shift, scale)
        self.optimizer, self.discount = Adam(), self.scalar(config.discount)
        self.rates = {"policy": self.scalar(config.learning_rate)}
        self.state = {"update": torch.zeros((), dtype=torch.int64, device=self.device)}

    def noise(self) -> dict[str, Noise]:
        """The random numbers that an update of a member reads, by name."""
        return {}

    def add(self, name: str, flat: Tensor, rate: float | None = None) -> None:
        """Train parameters `flat` [P, N] under `name`, at learning rate `rate` (the critics' unless told)."""
        flat = flat.to(self.device)
        moments = {f"{name}.{k}": v for k, v in self.optimizer.init(flat).items()}
        self.state |= {name: flat, f"{name}.steps": torch.zeros((), dtype=torch.int64, device=self.device), **moments}
        self.rates.setdefault(name, self.scalar(self.settings.critic_learning_rate if rate is None else rate))

    def minimise(self, state: State, name: str, losses: Callable[[Tensor], Tensor]) -> Tensor:
        """One Adam step on `state[name]` along the gradient of `losses` (parameters [P, N] -> [P]); returns the losses before it."""
        with torch.enable_grad():
            flat = state[name].detach().requires_grad_()
            found = losses(flat)
            (grad,) = torch.autograd.grad(found.sum(), flat)
        rate = self.rates[name]
        if name == "policy":
            rate = learning_rate(state["update"], rate, 0, self.updates, self.settings.schedule)
        moments = {k: state[f"{name}.{k}"] for k in ("adam_mean", "adam_square")}
        self.optimizer.step(state[name], grad, moments, state[f"{name}.steps"], rate)
        state[f"{name}.steps"] += 1
        return found.detach()

    @abstractmethod
    def update(self, state: State, batch: Transitions) -> Metrics:
        """One update of `state`, in place. Reads nothing back to the host."""

    def delayed(self, state: State, batch: Transitions) -> None:
        """What only every so many updates do, after `update`: those whose `phase` is 1. In place."""

    def draws(self, update: int) -> Draws:
        return self.stream.draws(update)

    def step(self, phase: int, draws: Draws) -> Metrics:
        batch = self.stream.of(draws)
        metrics = self.update(self.state, batch)
        if phase:
            self.delayed(self.state, batch)
        self.state["update"] += 1
        return metrics

    # The losses and quantities that several methods share.

    def params(self, flat: Tensor) -> Params:
        """Named parameters of the policy in `flat` [P, N]."""
        return self.policy_net.layout.views(flat)

    def backup(self, batch: Transitions, next_values: Tensor) -> Tensor:
        """r + discount * live * `next_values` [P, B]: the one place where a terminal state is masked."""
        return batch.rewards + self.discount.unsqueeze(1) * batch.live * next_values

    def likelihood_losses(self, flat: Tensor, batch: Transitions, weights: Tensor) -> Tensor:
        """[P]: weighted negative log-likelihood of the batch's actions, `weights` [P, B]."""
        return -(weights * self.policy_net.log_prob(self.params(flat), batch.observations, batch.actions)).mean(-1)

    # What others see of it.

    @property
    def parameters(self) -> int:
        return sum(v.shape[1] for k, v in self.state.items() if f"{k}.adam_mean" in self.state)

    @torch.no_grad()
    def act(self, observations: Tensor) -> Tensor:
        normalised = self.stream.normalise(observations)
        return self.policy_net.mean(self.params(self.state["policy"]), normalised)

    def policy(self) -> dict[str, Tensor]:
        """Named parameters, with observation_shift and observation_scale [P, obs] where observations are normalised."""
        found: Mapping[str, Tensor] = self.params(self.state["policy"])
        if not self.settings.normalize_observations:
            return dict(found)
        normaliser = {"observation_shift": self.stream.shift, "observation_scale": self.stream.scale}
        return {**found, **{k: v.expand(self.members, -1) for k, v in normaliser.items()}}

    def load_policy(self, parameters: Params) -> None:
        """Replace the policy and the normaliser of observations, which all members share."""
        for name, own in self.params(self.state["policy"]).items():
            own.copy_(parameters[name])
        if self.settings.normalize_observations:
            self.stream.shift, self.stream.scale = (parameters[k][0] for k in ("observation_shift", "observation_scale"))

    @torch.no_grad()
    def diagnostics(self) -> Metrics:
        """action_error: mean squared distance of the policy's action from the logged one, a dimension."""
        total = len(self.data.actions)
        steps = torch.arange(0, total, -(-total // DIAGNOSTIC_STEPS), device=self.device)
        actions = self.act(self.data.observations[steps].expand(self.members, -1, -1))
        return {"action_error": (actions - self.data.actions[steps]).square().mean((1, 2))}


def _normaliser(observations: Tensor, wanted: bool) -> tuple[Tensor, Tensor]:
    """Shift and scale [obs]; the small constant is TD3+BC's."""
    if not wanted:
        return torch.zeros_like(observations[0]), torch.ones_like(observations[0])
    count, wide = len(observations), torch.float64
    parts = observations.split(max(1, NORMALISED // observations.shape[1]))  # all at once would be twice the data again
    room = torch.empty_like(parts[0], dtype=wide)  # one for all: small results between large pieces would keep freed memory apart
    mean, variance = observations.new_zeros(2, observations.shape[1], dtype=wide)
    for part in parts:
        mean += room[: len(part)].copy_(part).sum(0) / count
    for part in parts:
        variance += room[: len(part)].copy_(part).sub_(mean).square_().sum(0) / count
    return mean.to(observations.dtype), (variance.sqrt() + 1e-3).to(observations.dtype)
