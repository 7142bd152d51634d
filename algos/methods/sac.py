"""Soft actor-critic (Haarnoja et al. 2018, arXiv 1812.05905), the base of CQL and EDAC; their files add the critics' loss.

L_pi = mean (e * log pi(b | s) - min_k Q_k(s, b)),  b ~ pi(s), differentiated through b
L_e = - log e * mean (log pi(b | s) + target_entropy),  e the entropy's weight, target_entropy = - action width
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

import torch
from torch import Tensor

from algos.base import Episodes, State
from algos.batches.transitions import Noise, Transitions
from algos.errors import require, require_share
from algos.learner import Learner, LearnerConfig
from algos.members import batchable
from algos.networks.critics import QEnsemble
from algos.networks.policies import SquashedGaussianPolicy


@dataclass
class SACConfig(LearnerConfig):
    """Settings of CQL and EDAC."""

    hidden: list[int] = field(default_factory=lambda: [256, 256, 256])
    critics: int = 2  # Q networks; their minimum is used
    target_rate: float = batchable(0.005)  # at which the target network follows
    entropy_learning_rate: float = batchable(3e-4)  # of the entropy's weight
    log_std_min: float = -20.0  # of the policy's Gaussian, a clip
    log_std_max: float = 2.0  # of the policy's Gaussian, a clip
    log_std_offset: float = 0.0  # added to the network's log_std

    def check(self, key: str = "algo") -> None:
        super().check(key)
        require(self.critics >= 2, f"{key}.critics", self.critics, "at least 2: their minimum is used")
        require(self.entropy_learning_rate >= 0, f"{key}.entropy_learning_rate", self.entropy_learning_rate, "a number of at least 0")
        require(self.log_std_min < self.log_std_max, f"{key}.log_std_min", self.log_std_min, f"below {key}.log_std_max")
        require_share(self, key, "target_rate")


class SAC(Learner):
    """Soft actor-critic without its critics' loss."""

    config: SACConfig
    policy_net: SquashedGaussianPolicy

    def __init__(self, config: SACConfig, data: Episodes, seeds: Sequence[int]) -> None:
        super().__init__(config, data, seeds)
        self.policy_net = SquashedGaussianPolicy(
            self.observation_width, self.action_width, self.hidden, config.log_std_min, config.log_std_max, config.log_std_offset
        )
        self.critic = QEnsemble(self.observation_width, self.action_width, self.hidden, config.critics)
        self.add("policy", self.policy_net.init(self.generators(0)))
        self.add("critic", self.critic.init(self.generators(1)))
        self.add("log_entropy_weight", torch.zeros(self.members, 1), config.entropy_learning_rate)
        self.state["target_critic"] = self.state["critic"].clone()
        self.target_rate = self.scalar(config.target_rate)

    def noise(self) -> dict[str, Noise]:
        shape = self.config.batch_size, self.action_width
        return {"own": Noise(shape), "next": Noise(shape)}

    def entropy_weight(self, state: State) -> Tensor:
        """The entropy's weight e [P, 1]."""
        return state["log_entropy_weight"].exp()

    def sample(self, flat: Tensor, observations: Tensor, noise: Tensor) -> tuple[Tensor, Tensor]:
        """Actions [P, B, act] of the policy from standard normal `noise`, and their log-densities [P, B]."""
        return self.policy_net.sample(self.params(flat), observations, noise)

    def policy_losses(self, flat: Tensor, state: State, batch: Transitions, entropy_weight: Tensor) -> Tensor:
        actions, log_prob = self.sample(flat, batch.observations, batch.noise["own"])
        return (entropy_weight * log_prob - self.critic(state["critic"], batch.observations, actions).amin(1)).mean(-1)

    def entropy_losses(self, flat: Tensor, log_prob: Tensor) -> Tensor:
        return -flat[:, 0] * (log_prob - self.action_width).mean(-1)
