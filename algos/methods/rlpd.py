"""RLPD: reinforcement learning with prior data (Ball et al. 2023, arXiv 2302.02948), the variant of its authors' code.

Soft actor-critic (sac.py) from nothing, without an offline phase, on batches of half logged and half own steps (`online.offline_share`).
The control of an offline phase: what it brings must be better. An ensemble of N critics with LayerNorm after each ReLU:

    y = r + discount * live * (min_{k in Z} Qbar_k(s', a') - e * log pi(a' | s')),  a' ~ pi(s'),  Z: `subset` critics drawn anew each update
    L_Q = sum_k mean (Q_k(s, a) - y)^2,  Qbar <- (1 - target_rate) Qbar + target_rate Q
    every policy_delay updates, after the step of Q:
    L_pi = mean (e * log pi(b | s) - mean_k Q_k(s, b)),  b ~ pi(s)
    L_e = - log e * mean (log pi(b | s) + target_entropy),  target_entropy = - action width / 2

(algorithm 1). The paper takes 20 updates a step, of which the last moves the policy: online.updates=20 algo.policy_delay=20. LayerNorm
stands behind the ReLU (the code: before it).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import ClassVar

import torch
from torch import Tensor

from algos.base import Episodes, Metrics, State
from algos.batches.transitions import Noise, Transitions
from algos.errors import require, require_positive
from algos.methods.sac import SAC, SACConfig
from algos.networks.critics import QEnsemble, polyak, td_losses


@dataclass
class RLPDConfig(SACConfig):
    """Reinforcement learning with prior data."""

    fewest_updates: ClassVar[int] = 0
    name: str = "rlpd"
    updates: int = 0  # offline: none; online.steps says how long it learns
    hidden: list[int] = field(default_factory=lambda: [256, 256])
    critics: int = 10  # N
    subset: int = 2  # critics whose minimum is the target, drawn anew each update
    policy_delay: int = 1  # updates of Q for each of the policy

    def check(self, key: str = "algo") -> None:
        super().check(key)
        require_positive(self, key, "policy_delay")
        require(0 < self.subset <= self.critics, f"{key}.subset", self.subset, f"1 to {key}.critics = {self.critics}")


class RLPD(SAC):
    config: RLPDConfig
    goes_online = True

    def __init__(self, config: RLPDConfig, data: Episodes, seeds: Sequence[int]) -> None:
        super().__init__(config, data, seeds)
        self.critic = QEnsemble(self.observation_width, self.action_width, self.hidden, config.critics, layer_norm=True)
        self.add("critic", self.critic.init(self.generators(1)))
        self.state["target_critic"] = self.state["critic"].clone()
        self.policy_delay = config.policy_delay

    def noise(self) -> dict[str, Noise]:
        return super().noise() | {"subset": Noise((self.config.critics,), uniform=True)}

    def policy_losses(self, flat: Tensor, state: State, batch: Transitions, entropy_weight: Tensor) -> Tensor:
        actions, log_prob = self.sample(flat, batch.observations, batch.noise["own"])
        return (entropy_weight * log_prob - self.critic(state["critic"], batch.observations, actions).mean(1)).mean(-1)

    def entropy_losses(self, flat: Tensor, log_prob: Tensor) -> Tensor:
        return -flat[:, 0] * (log_prob - self.action_width / 2).mean(-1)

    def next_values(self, state: State, batch: Transitions) -> Tensor:
        """The value [P, B] of the next state in the target."""
        actions, log_prob = self.sample(state["policy"], batch.next_observations, batch.noise["next"])
        q = self.critic(state["target_critic"], batch.next_observations, actions)
        chosen = batch.noise["subset"].topk(self.config.subset, dim=1).indices.unsqueeze(-1).expand(-1, -1, q.shape[-1])
        return q.gather(1, chosen).amin(1) - self.entropy_weight(state) * log_prob

    def critic_losses(self, flat: Tensor, batch: Transitions, target: Tensor) -> Tensor:
        return td_losses(self.critic(flat, batch.observations, batch.actions), target)

    def update(self, state: State, batch: Transitions) -> Metrics:
        target = self.backup(batch, self.next_values(state, batch))
        critic_loss = self.minimise(state, "critic", lambda flat: self.critic_losses(flat, batch, target))
        polyak(state["target_critic"], state["critic"], self.target_rate)
        return {"critic_loss": critic_loss, "q_target": target.mean(-1), "entropy_weight": self.entropy_weight(state)[:, 0]}

    def phase(self, update: int) -> int:
        return int((update + 1) % self.policy_delay == 0)

    def delayed(self, state: State, batch: Transitions) -> None:
        """The steps of the policy and of the entropy's weight."""
        entropy_weight = self.entropy_weight(state).clone()
        with torch.no_grad():
            log_prob = self.sample(state["policy"], batch.observations, batch.noise["own"])[1]
        self.minimise(state, "policy", lambda flat: self.policy_losses(flat, state, batch, entropy_weight))
        self.minimise(state, "log_entropy_weight", lambda flat: self.entropy_losses(flat, log_prob))
