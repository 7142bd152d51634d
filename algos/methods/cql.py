"""CQL: conservative Q-learning, CQL(H) (Kumar et al. 2020, arXiv 2006.04779), the variant of CORL and of Geng's code.

Soft actor-critic (sac.py), and for each Q_k, with n random, n own and n next-state actions (uniform; pi(s); pi(s')) of each step:

    L_Q = mean (Q_k(s, a) - y)^2 + alpha * mean (log sum_j exp(Q_k(s, b_j) - log density(b_j)) - Q_k(s, a))        (eq. 4)
    y = r + discount * live * min_k Qbar_k(s', a'),  a' ~ pi(s'), without the entropy's term

The sum is not divided by 3n, a constant without gradient. All losses are computed before the first step; then the entropy's weight, the
policy, Q and the target network move. Defaults are CORL's for D4RL v2 locomotion: alpha 10, observations normalised, learning
rate of the policy 3e-5; no Lagrange multiplier, no behaviour-cloning start.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from algos.base import Episodes, Metrics, State
from algos.batches.transitions import Noise, Transitions
from algos.errors import require, require_positive
from algos.members import batchable
from algos.methods.sac import SAC, SACConfig
from algos.networks.critics import polyak, td_losses


@dataclass
class CQLConfig(SACConfig):
    """Conservative Q-learning."""

    name: str = "cql"
    learning_rate: float = 3e-5
    entropy_learning_rate: float = 3e-5
    normalize_observations: bool = True
    log_std_offset: float = -1.0
    alpha: float = batchable(10.0)  # of the conservative term
    samples: int = 10  # n

    def check(self, key: str = "algo") -> None:
        super().check(key)
        require(0 <= self.alpha < float("inf"), f"{key}.alpha", self.alpha, "a number of at least 0")
        require_positive(self, key, "samples")


class CQL(SAC):
    config: CQLConfig
    goes_online = True

    def __init__(self, config: CQLConfig, data: Episodes, seeds: Sequence[int]) -> None:
        super().__init__(config, data, seeds)
        self.alpha = self.scalar(config.alpha)

    def noise(self) -> dict[str, Noise]:
        shape = self.config.samples, self.config.batch_size, self.action_width
        return super().noise() | {"random": Noise(shape, uniform=True), "many_own": Noise(shape), "many_next": Noise(shape)}

    def proposals(self, state: State, batch: Transitions) -> tuple[Tensor, Tensor]:
        """Actions [P, 3n, B, act] and their log-densities [P, 3n, B]: uniform ones, the policy's, the policy's in the next state."""
        random = batch.noise["random"]
        actions, densities = [random], [torch.full(random.shape[:-1], -self.action_width * math.log(2), device=self.device)]
        for name, observations in (("many_own", batch.observations), ("many_next", batch.next_observations)):
            drawn, log_prob = self.sample(state["policy"], observations.repeat(1, self.config.samples, 1), batch.noise[name].flatten(1, 2))
            actions.append(drawn.view_as(random))
            densities.append(log_prob.view(random.shape[:-1]))
        return torch.cat(actions, 1), torch.cat(densities, 1).to(random.dtype)

    def calibrated(self, many: Tensor, batch: Transitions) -> Tensor:
        """Q [P, K, 3n, B] of the proposals as the conservative term takes it; Cal-QL (cal_ql.py) bounds it from below."""
        return many

    def critic_losses(self, flat: Tensor, batch: Transitions, target: Tensor, actions: Tensor, densities: Tensor) -> Tensor:
        q = self.critic(flat, batch.observations, batch.actions)  # [P, K, B]
        many = self.critic(flat, batch.observations.repeat(1, actions.shape[1], 1), actions.flatten(1, 2))
        many = self.calibrated(many.unflatten(2, (actions.shape[1], -1)), batch)
        spread = (many - densities.unsqueeze(1)).logsumexp(2)
        return td_losses(q, target) + self.alpha * (spread - q).mean(-1).sum(1)

    def update(self, state: State, batch: Transitions) -> Metrics:
        entropy_weight = self.entropy_weight(state)
        log_prob = self.sample(state["policy"], batch.observations, batch.noise["own"])[1]
        next_actions = self.sample(state["policy"], batch.next_observations, batch.noise["next"])[0]
        target = self.backup(batch, self.critic(state["target_critic"], batch.next_observations, next_actions).amin(1))
        actions, densities = self.proposals(state, batch)
        self.minimise(state, "log_entropy_weight", lambda flat: self.entropy_losses(flat, log_prob))
        policy_loss = self.minimise(state, "policy", lambda flat: self.policy_losses(flat, state, batch, entropy_weight))
        critic_loss = self.minimise(state, "critic", lambda flat: self.critic_losses(flat, batch, target, actions, densities))
        polyak(state["target_critic"], state["critic"], self.target_rate)
        return {
            "loss": policy_loss, "critic_loss": critic_loss, "q_target": target.mean(-1),
            "entropy": -log_prob.mean(-1), "entropy_weight": entropy_weight[:, 0],
        }  # fmt: skip
