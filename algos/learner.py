"""Learners: bases of methods that train parameters by Adam (`GradientLearner`), and of those that learn from transitions (`Learner`).

A method adds its networks in its constructor, and its `update` minimises its losses in order. Networks start from PyTorch's default
initialisation, also where the method's original code uses another.
"""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar

import torch
from torch import Tensor

from algos.base import Algo, Draws, Episodes, MethodConfig, Metrics, State
from algos.batches.replay import MixedStream, Replay
from algos.batches.transitions import Noise, RewardScaling, Transitions, TransitionStream
from algos.errors import ConfigError, require, require_positive
from algos.members import batchable
from algos.networks.mlp import Params
from algos.optimizer import Adam, Schedule, learning_rate

NORMALISED = 1 << 18  # entries of observations whose moments are computed at once
DIAGNOSTIC_STEPS = 2_000  # evenly spaced steps that stand for the data in diagnostics


class GradientLearner(Algo):
    """P members whose parameters are trained by Adam. `state["policy"]` holds the policy's flat parameters [P, N].

    The learning rate of the policy follows `schedule` after `warmup` updates; other rates are constant.
    """

    policy_net: Any  # has init, layout and mean, as the classes of algos/networks/policies.py
    stream: Any  # has draws(update) and from_draws(draws), as the streams of algos/batches
    schedule: Schedule = Schedule.constant
    warmup: int = 0

    def __init__(self, config: MethodConfig, data: Episodes, seeds: Sequence[int]) -> None:
        super().__init__(data, seeds)
        self.updates, self.optimizer = config.updates, Adam()
        self.rates: dict[str, Tensor] = {}  # learning rates [P]
        self.state = {"update": torch.zeros((), dtype=torch.int64, device=self.device)}

    def add(self, name: str, flat: Tensor, rate: float) -> None:
        """Add parameters `flat` [P, N] to the state under `name`, to be trained with learning rate `rate`."""
        flat = flat.to(self.device)
        moments = {f"{name}.{k}": v for k, v in self.optimizer.init(flat).items()}
        self.state |= {name: flat, f"{name}.steps": torch.zeros((), dtype=torch.int64, device=self.device), **moments}
        self.rates[name] = self.scalar(rate)

    def learning_rate(self, state: State, name: str) -> Tensor:
        """The learning rate [P] of the parameters `name` at the present update."""
        rate = self.rates[name]
        return learning_rate(state["update"], rate, self.warmup, self.updates, self.schedule) if name == "policy" else rate

    def minimise(self, state: State, name: str, losses: Callable[[Tensor], Tensor]) -> Tensor:
        """Take one Adam step on `state[name]` [P, N] along the gradient of `losses` ([P, N] -> [P]); return the losses before it."""
        with torch.enable_grad():
            flat = state[name].detach().requires_grad_()
            found = losses(flat)
            (grad,) = torch.autograd.grad(found.sum(), flat)
        moments = {k: state[f"{name}.{k}"] for k in ("adam_mean", "adam_square")}
        self.optimizer.step(state[name], grad, moments, state[f"{name}.steps"], self.learning_rate(state, name))
        state[f"{name}.steps"] += 1
        return found.detach()

    @abstractmethod
    def update(self, state: State, batch: Any) -> Metrics:
        """One update of `state`, in place. Reads nothing back to the host."""

    def delayed(self, state: State, batch: Any) -> None:
        """The second part of an update of phase 1, in place, after `update`: for parameters that move less often."""

    def draws(self, update: int) -> Draws:
        drawn: Draws = self.stream.draws(update)
        return drawn

    def step(self, phase: int, draws: Draws) -> Metrics:
        batch = self.stream.from_draws(draws)
        metrics = self.update(self.state, batch)
        if phase:
            self.delayed(self.state, batch)
        self.state["update"] += 1
        return metrics

    def normalise(self, observations: Tensor) -> Tensor:
        """`observations` [..., obs] as the networks take them."""
        return observations

    def params(self, flat: Tensor) -> Params:
        """The named parameters of the policy in `flat` [P, N], as views."""
        views: Params = self.policy_net.layout.views(flat)
        return views

    @property
    def parameters(self) -> int:
        return sum(v.shape[1] for k, v in self.state.items() if f"{k}.adam_mean" in self.state)

    @torch.no_grad()
    def act(self, observations: Tensor) -> Tensor:
        actions: Tensor = self.policy_net.mean(self.params(self.state["policy"]), observations)
        return actions

    @property
    def noise_width(self) -> int:
        width: int = self.policy_net.noise_width
        return width

    @torch.no_grad()
    def act_sampled(self, observations: Tensor, uniform: Tensor) -> Tensor:
        actions: Tensor = self.policy_net.draw(self.params(self.state["policy"]), observations, uniform)
        return actions

    @property
    def writes(self) -> bool:
        return hasattr(self.policy_net, "write")

    def write(self, prompts: Tensor, lengths: Tensor, end: int, noise: Callable[[Tensor], Tensor] | None = None) -> Tensor:
        written: Tensor = self.policy_net.write(self.params(self.state["policy"]), prompts, lengths, end, noise)
        return written

    def policy(self) -> dict[str, Tensor]:
        return dict(self.params(self.state["policy"]))


@dataclass
class LearnerConfig(MethodConfig):
    """Settings of every method that learns from transitions."""

    learning_rate: float = batchable(3e-4)  # of the policy
    critic_learning_rate: float = batchable(3e-4)  # of Q and V
    schedule: Schedule = Schedule.constant  # of the policy's learning rate: constant | cosine
    discount: float = batchable(0.99)  # of future rewards
    reward_scaling: RewardScaling = (
        RewardScaling.none
    )  # of rewards, applied first: none | return_range (times 1000 / largest difference of returns)
    reward_scale: float = 1.0  # of rewards, a factor, applied second
    reward_shift: float = 0.0  # of rewards, added last
    normalize_observations: bool = False  # to mean 0 and standard deviation 1 over the data (+ 1e-3)

    def check(self, key: str = "algo") -> None:
        super().check(key)
        require_positive(self, key, "learning_rate", "critic_learning_rate", "reward_scale")
        require(0 <= self.discount < 1, f"{key}.discount", self.discount, "0 up to, not including, 1")


class Learner(GradientLearner):
    """P members of a method that learns from transitions."""

    config: LearnerConfig
    own_columns: ClassVar[tuple[str, ...]] = ()  # numbers that `end_episode` adds to own steps, -inf before
    penalty_share: float = 1.0  # of a penalty on the distance to the data's actions; it falls while the method goes on online

    def __init__(self, config: LearnerConfig, data: Episodes, seeds: Sequence[int]) -> None:
        if getattr(data, "next_observations", None) is None:
            raise ConfigError(f"{config.name} needs next observations, and the data have none; record them or use algo=bc")
        super().__init__(config, data, seeds)
        self.config, self.schedule = config, config.schedule
        self.observation_width, self.action_width = data.observations.shape[1], data.actions.shape[1]
        self.hidden = tuple(config.hidden)
        self.reward_factor = config.reward_scaling.factor(data) * config.reward_scale
        rewards = data.rewards * self.reward_factor + config.reward_shift
        shift, scale = normaliser(data.observations) if config.normalize_observations else _no_normaliser(data.observations)
        self.stream = TransitionStream(data, rewards, seeds, config.batch_size, self.noise(), shift, scale)
        self.discount = self.scalar(config.discount)

    def go_online(self, replay: Replay, share: float) -> None:
        """Learn from the members' own steps in `replay`, beside a `share` of logged ones in each batch, at constant learning rates."""
        assert isinstance(self.stream, TransitionStream)
        self.stream = MixedStream(self.stream, replay, share, self.reward_factor, self.config.reward_shift)
        self.schedule, self.warmup = Schedule.constant, 0

    def end_episode(self, replay: Replay, member: int, slots: Tensor) -> None:
        """Fill the `own_columns` of the steps in `slots` of `replay`, an episode of `member` that has ended."""

    def noise(self) -> dict[str, Noise]:
        """The random numbers of an update of one member, by name."""
        return {}

    def add(self, name: str, flat: Tensor, rate: float | None = None) -> None:
        """Add parameters to be trained; the default rate is `learning_rate` for the policy and `critic_learning_rate` for the rest."""
        default = self.config.learning_rate if name == "policy" else self.config.critic_learning_rate
        super().add(name, flat, default if rate is None else rate)

    @abstractmethod
    def update(self, state: State, batch: Transitions) -> Metrics: ...

    def backup(self, batch: Transitions, next_values: Tensor) -> Tensor:
        """The TD target r + discount * live * `next_values` [P, B]; no other code masks terminal states."""
        return batch.rewards + self.discount.unsqueeze(1) * batch.live * next_values

    def likelihood_losses(self, flat: Tensor, batch: Transitions, weights: Tensor) -> Tensor:
        """Weighted negative log-likelihoods [P] of the batch's actions; `weights` [P, B]."""
        return -(weights * self.policy_net.log_prob(self.params(flat), batch.observations, batch.actions)).mean(-1)

    def normalise(self, observations: Tensor) -> Tensor:
        normalised: Tensor = self.stream.normalise(observations)
        return normalised

    @torch.no_grad()
    def act(self, observations: Tensor) -> Tensor:
        return super().act(self.normalise(observations))

    @torch.no_grad()
    def act_sampled(self, observations: Tensor, uniform: Tensor) -> Tensor:
        return super().act_sampled(self.normalise(observations), uniform)

    def policy(self) -> dict[str, Tensor]:
        """Named parameters, with observation_shift and observation_scale [P, obs] if observations are normalised."""
        found = super().policy()
        if self.config.normalize_observations:
            normaliser = {"observation_shift": self.stream.shift, "observation_scale": self.stream.scale}
            found |= {k: v.expand(self.members, -1) for k, v in normaliser.items()}
        return found

    def load_policy(self, parameters: Mapping[str, Tensor]) -> None:
        """Replace the policy, and the normaliser of observations, which all members share."""
        for name, own in super().policy().items():
            own.copy_(parameters[name])
        if self.config.normalize_observations:
            self.stream.shift, self.stream.scale = (parameters[k][0] for k in ("observation_shift", "observation_scale"))

    @torch.no_grad()
    def diagnostics(self) -> Metrics:
        """`action_error` [P]: squared distance of the policy's actions from the logged ones, mean over steps and action dimensions."""
        total = len(self.data.actions)
        steps = torch.arange(0, total, -(-total // DIAGNOSTIC_STEPS), device=self.device)
        actions = self.act(self.data.observations[steps].expand(self.members, -1, -1))
        return {"action_error": (actions - self.data.actions[steps]).square().mean((1, 2))}


def _no_normaliser(observations: Tensor) -> tuple[Tensor, Tensor]:
    return torch.zeros_like(observations[0]), torch.ones_like(observations[0])


def normaliser(observations: Tensor) -> tuple[Tensor, Tensor]:
    """Shift and scale [obs]; the constant 1e-3 is that of TD3+BC."""
    count, wide = len(observations), torch.float64
    parts = observations.split(max(1, NORMALISED // observations.shape[1]))  # float64 of all at once would be twice the data
    room = torch.empty_like(parts[0], dtype=wide)  # allocated once: small results between large pieces would fragment memory
    mean, variance = observations.new_zeros(2, observations.shape[1], dtype=wide)
    for part in parts:
        mean += room[: len(part)].copy_(part).sum(0) / count
    for part in parts:
        variance += room[: len(part)].copy_(part).sub_(mean).square_().sum(0) / count
    return mean.to(observations.dtype), (variance.sqrt() + 1e-3).to(observations.dtype)
