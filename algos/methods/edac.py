"""EDAC and SAC-N: pessimism by an ensemble of critics (An et al. 2021, arXiv 2110.01548), the variant of the authors' code.

Soft actor-critic (sac.py) with N critics. The entropy's weight, the policy and Q step in this order; each sees the steps before it:

    y = r + discount * live * (min_k Qbar_k(s', a') - e * log pi(a' | s')),  a' ~ pi(s')
    L_Q = sum_k mean (Q_k(s, a) - y)^2 + eta * mean sum_{i != j} <g_i, g_j> / (N - 1),  g_k = grad_a Q_k(s, a) / |grad_a Q_k(s, a)|

(eq. 5 and algorithm 1). SAC-N is eta = 0. The log-density of a squashed action is exact (the code adds 1e-6 in a logarithm).
Observations and rewards are unchanged. The authors tuned N and eta for each data set; conf/domains.yaml has the published values.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from algos.base import Episodes, Metrics, State
from algos.batches.transitions import Transitions
from algos.errors import require
from algos.members import batchable
from algos.methods.sac import SAC, SACConfig
from algos.networks.critics import polyak, td_losses


@dataclass
class EDACConfig(SACConfig):
    """Settings of EDAC and SAC-N."""

    name: str = "edac"
    critics: int = 10  # N
    log_std_min: float = -5.0
    eta: float = batchable(1.0)  # of the term that diversifies the critics; 0 is SAC-N

    def check(self, key: str = "algo") -> None:
        super().check(key)
        require(0 <= self.eta < float("inf"), f"{key}.eta", self.eta, "a number of at least 0")


class EDAC(SAC):
    def __init__(self, config: EDACConfig, data: Episodes, seeds: Sequence[int]) -> None:
        super().__init__(config, data, seeds)
        self.eta = self.scalar(config.eta)
        self.diversify = bool((self.eta > 0).any())

    def critic_losses(self, flat: Tensor, batch: Transitions, target: Tensor) -> Tensor:
        if not self.diversify:
            return td_losses(self.critic(flat, batch.observations, batch.actions), target)
        size = self.critic.size
        actions = batch.actions.unsqueeze(1).repeat(1, size, 1, 1).requires_grad_()
        q = self.critic.each(flat, torch.cat([batch.observations.unsqueeze(1).expand(-1, size, -1, -1), actions], -1))
        (slope,) = torch.autograd.grad(q.sum(), actions, create_graph=True)
        slope = slope / (slope.norm(dim=-1, keepdim=True) + 1e-10)  # [P, N, B, act]
        total = slope.sum(1)
        alike = total.square().sum(-1) - slope.square().sum((1, 3))  # sum of <g_i, g_j> over i != j, [P, B]
        return td_losses(q, target) + self.eta * alike.mean(-1) / (size - 1)

    def update(self, state: State, batch: Transitions) -> Metrics:
        log_prob = self.sample(state["policy"], batch.observations, batch.noise["own"])[1]
        self.minimise(state, "log_entropy_weight", lambda flat: self.entropy_losses(flat, log_prob))
        entropy_weight = self.entropy_weight(state)
        policy_loss = self.minimise(state, "policy", lambda flat: self.policy_losses(flat, state, batch, entropy_weight))
        next_actions, density = self.sample(state["policy"], batch.next_observations, batch.noise["next"])
        q = self.critic(state["target_critic"], batch.next_observations, next_actions).amin(1)
        target = self.backup(batch, q - entropy_weight * density)
        critic_loss = self.minimise(state, "critic", lambda flat: self.critic_losses(flat, batch, target))
        polyak(state["target_critic"], state["critic"], self.target_rate)
        return {
            "loss": policy_loss, "critic_loss": critic_loss, "q_target": target.mean(-1),
            "entropy": -log_prob.mean(-1), "entropy_weight": entropy_weight[:, 0],
        }  # fmt: skip
