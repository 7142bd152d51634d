"""IQL: implicit Q-learning (Kostrikov, Nair & Levine 2021, arXiv 2110.06169), the variant of its reference code (JAX).

    u = min_k Qbar_k(s, a) - V(s)
    L_V = mean |expectile - 1[u < 0]| u^2                                    (eq. 5; Qbar is the target network)
    w = min(exp(temperature * (min_k Qbar_k(s, a) - V(s))), max_weight)      (V after its step: `value_used` new)
    L_pi = - mean w log pi(a | s)                                            (eq. 7)
    L_Q = sum_k mean (Q_k(s, a) - r - discount * live * V(s'))^2             (eq. 6)
    Qbar <- (1 - target_rate) Qbar + target_rate Q

in this order, each an Adam step. With `value_used` old, w and the target of Q take V from before its step, as in CORL.
Defaults are those of the reference code for D4RL locomotion: rewards scaled by 1000 / (largest - smallest return), observations unchanged,
cosine decay of the policy's learning rate alone, Gaussian policy of mean tanh(net) and free log_std in [-5, 2].
CORL uses a deterministic policy for two hopper sets: `actor` deterministic, with the squared error instead of the log-likelihood.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from enum import Enum
from typing import Any

from torch import Tensor

from algos.base import Episodes, Metrics, State
from algos.batches.transitions import Transitions
from algos.errors import require, require_positive, require_share
from algos.learner import Learner, LearnerConfig
from algos.members import batchable
from algos.networks.critics import QEnsemble, ValueNetwork, expectile_losses, polyak, td_losses
from algos.networks.policies import Actor
from algos.weights import advantage_weights


class ValueUsed(Enum):
    """The V in the advantage and in the target of Q: after its step of this update, or before."""

    new = "new"
    old = "old"


@dataclass
class IQLConfig(LearnerConfig):
    """Implicit Q-learning."""

    name: str = "iql"
    expectile: float = batchable(0.7)  # of V among the values of Q
    temperature: float = batchable(3.0)  # inverse: multiplies the advantage
    max_weight: float = batchable(100.0)  # of a step, a clip
    critics: int = 2  # Q networks; their minimum is used
    target_rate: float = batchable(0.005)  # at which the target network follows
    value_used: ValueUsed = ValueUsed.new  # V in weights and targets: new (after its step) | old
    actor: Actor = Actor.gaussian  # policy: gaussian | deterministic

    def check(self, key: str = "algo") -> None:
        super().check(key)
        require(0 < self.expectile < 1, f"{key}.expectile", self.expectile, "a number between 0 and 1, both excluded")
        require_positive(self, key, "temperature", "max_weight", "critics")
        require_share(self, key, "target_rate")


class IQL(Learner):
    goes_online = True
    config: IQLConfig

    def __init__(self, config: IQLConfig, data: Episodes, seeds: Sequence[int]) -> None:
        super().__init__(config, data, seeds)
        self.policy_net = self.make_policy()
        self.critic = QEnsemble(self.observation_width, self.action_width, self.hidden, config.critics)
        self.value = ValueNetwork(self.observation_width, self.hidden)
        self.add("policy", self.policy_net.init(self.generators(0)))
        self.add("critic", self.critic.init(self.generators(1)))
        self.add("value", self.value.init(self.generators(2)))
        self.state["target_critic"] = self.state["critic"].clone()
        self.expectile, self.temperature = self.scalar(config.expectile), self.scalar(config.temperature)
        self.max_weight, self.target_rate = self.scalar(config.max_weight), self.scalar(config.target_rate)

    def make_policy(self) -> Any:
        """The policy; CFGRL has another one."""
        return self.config.actor.make(self.observation_width, self.action_width, self.hidden)

    def value_losses(self, flat: Tensor, batch: Transitions, q: Tensor) -> Tensor:
        return expectile_losses(q - self.value(flat, batch.observations), self.expectile)

    def critic_losses(self, flat: Tensor, batch: Transitions, target: Tensor) -> Tensor:
        return td_losses(self.critic(flat, batch.observations, batch.actions), target)

    def policy_step(self, state: State, batch: Transitions, advantage: Tensor) -> Tensor:
        """Take the policy's step by the advantage [P, B]; return the losses [P] before it."""
        weights = advantage_weights(advantage, self.temperature, self.max_weight)
        return self.minimise(state, "policy", lambda flat: self.likelihood_losses(flat, batch, weights))

    def update(self, state: State, batch: Transitions) -> Metrics:
        q = self.critic(state["target_critic"], batch.observations, batch.actions).amin(1)
        value = state["value"].clone() if self.config.value_used is ValueUsed.old else state["value"]
        value_loss = self.minimise(state, "value", lambda flat: self.value_losses(flat, batch, q))
        advantage = q - self.value(value, batch.observations)
        target = self.backup(batch, self.value(value, batch.next_observations))
        policy_loss = self.policy_step(state, batch, advantage)
        critic_loss = self.minimise(state, "critic", lambda flat: self.critic_losses(flat, batch, target))
        polyak(state["target_critic"], state["critic"], self.target_rate)
        return {
            "loss": policy_loss, "critic_loss": critic_loss, "value_loss": value_loss,
            "q": q.mean(-1), "advantage": advantage.mean(-1),
        }  # fmt: skip
