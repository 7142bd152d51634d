"""AWR, RWR and MARWIL: imitation weighted by the advantage of a logged step over the behaviour policy.

    G = TD(lambda) return under V, V(s_T) at the end of a truncated episode, 0 of a terminated one     (algos/batches/returns.py)
    L_V = 1/2 mean ((1 - discount) (G - V(s)))^2
    L_pi = - mean min(exp(temperature * A), max_weight) log pi(a | s),  A = (G - b) / c

AWR (Peng et al. 2019, arXiv 1910.00177), as in its code: lambda 0.95; b = V; A standardised over the data (mean 0, standard deviation 1,
+ 1e-5): `scale` standardise; temperature 1, max_weight 20. Every `refresh_every` updates G and A of all data are recomputed. V and
the policy both take an Adam step in every update; the code alternates 500 momentum steps of V and 1,000 of the policy. The policy is the
suite's Gaussian with bounded mean and learned spread (the code: a penalty on means out of bounds, a fixed spread of 0.2).
RWR (Peters & Schaal 2007; the form of the AWR paper, section 3): b = 0 and lambda = 1: `baseline` none. Without V, the return of a
truncated episode ends at its last step.
MARWIL (Wang et al. 2018): lambda = 1, V as it is at the update (`baseline` current), c^2 <- c^2 + norm_rate (mean A^2 - c^2) over the
batch (`scale` running_norm). Here c starts at the root mean square of G - V over the data; RLlib's code starts c^2 at 100 with rate
1e-8, which suits returns of order 10.

The output of V's network is in units of 1 / (1 - discount), as in AWR's code.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from enum import Enum
from typing import Any

import torch
from torch import Tensor

from algos.base import Episodes, Metrics, State
from algos.batches.returns import lambda_returns
from algos.batches.transitions import Transitions
from algos.errors import require, require_positive, require_share
from algos.learner import Learner, LearnerConfig
from algos.likelihood import CHUNK
from algos.members import batchable
from algos.networks.critics import ValueNetwork
from algos.networks.policies import Actor
from algos.weights import advantage_weights


class Baseline(Enum):
    """The term subtracted from the return: V of the last refresh, the present V, or nothing."""

    refreshed = "refreshed"
    current = "current"
    none = "none"


class Scale(Enum):
    """The divisor of the advantage; standardise also subtracts its mean."""

    standardise = "standardise"
    running_norm = "running_norm"
    none = "none"


@dataclass
class AWRConfig(LearnerConfig):
    """Settings of AWR, RWR and MARWIL."""

    name: str = "awr"
    trace: float = batchable(0.95)  # lambda
    temperature: float = batchable(1.0)  # inverse: multiplies the advantage
    max_weight: float = batchable(20.0)  # of a step, a clip
    baseline: Baseline = Baseline.refreshed  # what is subtracted from the return: refreshed | current (a value network) | none
    scale: Scale = Scale.standardise  # of the advantage: standardise | running_norm | none
    norm_rate: float = batchable(0.01)  # of running_norm
    refresh_every: int = 1000  # updates between computations of all advantages
    actor: Actor = Actor.gaussian  # policy: gaussian | deterministic

    def check(self, key: str = "algo") -> None:
        super().check(key)
        require(0 <= self.trace <= 1, f"{key}.trace", self.trace, "a number from 0 to 1")
        require_positive(self, key, "temperature", "max_weight", "refresh_every")
        require_share(self, key, "norm_rate")
        standing = self.scale is not Scale.standardise or self.baseline is not Baseline.current
        require(
            standing, f"{key}.scale", self.scale.name, "running_norm or none with baseline=current, whose mean over all data is unknown"
        )

    def determinants(self) -> dict[str, Any]:
        """The settings that the result depends on: some baselines have no value network, some scales no running norm."""
        unused = {"critic_learning_rate"} if self.baseline is Baseline.none else set()
        unused |= set() if self.scale is Scale.running_norm else {"norm_rate"}
        return {k: v for k, v in super().determinants().items() if k not in unused}


class AWR(Learner):
    config: AWRConfig

    def __init__(self, config: AWRConfig, data: Episodes, seeds: Sequence[int]) -> None:
        super().__init__(config, data, seeds)
        self.policy_net = config.actor.make(self.observation_width, self.action_width, self.hidden)
        self.value = ValueNetwork(self.observation_width, self.hidden)
        self.add("policy", self.policy_net.init(self.generators(0)))
        if config.baseline is not Baseline.none:
            self.add("value", self.value.init(self.generators(1)))
        shape = self.members, len(data.rewards)
        self.state["returns"] = torch.zeros(shape, device=self.device)
        self.state["advantages"] = torch.zeros(shape, device=self.device)  # of the last refresh, scaled
        self.state["square"] = torch.zeros(self.members, device=self.device)  # c^2
        self.temperature, self.max_weight = self.scalar(config.temperature), self.scalar(config.max_weight)
        self.trace, self.norm_rate = self.scalar(config.trace), self.scalar(config.norm_rate)

    def values(self, flat: Tensor, observations: Tensor) -> Tensor:
        """V [P, B] of (normalised) observations [P, B, obs]."""
        return self.value(flat, observations) / (1 - self.discount.unsqueeze(1))

    def before(self, update: int) -> None:
        if update % self.config.refresh_every == 0:
            self.refresh(self.state, first=update == 0)

    def refresh(self, state: State, first: bool) -> None:
        """Recompute the returns and advantages of all steps under the present V."""
        returns, advantages = state["returns"], state["advantages"]
        values, last = self._values_of_data(state)
        returns.copy_(lambda_returns(self.data, self.stream.rewards, values, last, self.discount, self.trace))
        torch.sub(returns, values, out=advantages)
        if first:
            state["square"].copy_(advantages.square().mean(1))
        if self.config.scale is Scale.standardise:
            deviation = advantages.std(1, correction=0, keepdim=True)
            advantages.sub_(advantages.mean(1, keepdim=True)).div_(deviation + 1e-5)

    def _values_of_data(self, state: State) -> tuple[Tensor, Tensor]:
        """V [P, N] of the observations, and [P, E] after each episode's last step; zeros if the method has no V."""
        if "value" not in state:
            return torch.zeros_like(state["returns"]), torch.zeros(self.members, len(self.data.lengths), device=self.device)
        parts = []
        for observations in (self.data.observations, self.data.next_observations[self.data.offsets[1:] - 1]):
            chunks = (self.stream.normalise(x) for x in observations.split(CHUNK))
            parts.append(torch.cat([self.values(state["value"], x.expand(self.members, -1, -1)) for x in chunks], 1))
        return parts[0], parts[1]

    def value_losses(self, flat: Tensor, batch: Transitions, returns: Tensor) -> Tensor:
        error = (1 - self.discount.unsqueeze(1)) * (returns - self.values(flat, batch.observations))
        return 0.5 * error.square().mean(-1)

    def advantage(self, state: State, batch: Transitions, returns: Tensor) -> Tensor:
        """The scaled advantages A [P, B]; updates the running norm, if the method has one."""
        if self.config.baseline is Baseline.current:
            advantage = returns - self.values(state["value"], batch.observations)
        else:
            advantage = state["advantages"].gather(1, batch.step)
        if self.config.scale is Scale.running_norm:
            state["square"].lerp_(advantage.square().mean(-1), self.norm_rate.to(advantage.dtype))
            return advantage / (state["square"].unsqueeze(1).sqrt() + 1e-8)
        return advantage

    def update(self, state: State, batch: Transitions) -> Metrics:
        returns = state["returns"].gather(1, batch.step)
        weights = advantage_weights(self.advantage(state, batch, returns), self.temperature, self.max_weight)
        policy_loss = self.minimise(state, "policy", lambda flat: self.likelihood_losses(flat, batch, weights))
        found = {"loss": policy_loss, "weight": weights.mean(-1), "return": returns.mean(-1)}
        if "value" in state:
            found["value_loss"] = self.minimise(state, "value", lambda flat: self.value_losses(flat, batch, returns))
        return found
