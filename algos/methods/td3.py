"""TD3 (Fujimoto et al. 2018, arXiv 1802.09477), the base of TD3+BC and ReBRAC; their files add the policy's loss.

a' = clip(pibar(s') + clip(policy_noise * eps, -noise_clip, noise_clip), -1, 1)
L_Q = sum_k mean (Q_k(s, a) - r - discount * live * min_k Qbar_k(s', a'))^2
every policy_delay updates, after the step of Q: a step of the policy, then
Qbar <- (1 - target_rate) Qbar + target_rate Q, pibar likewise
"""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass

from torch import Tensor

from algos.base import Episodes, Metrics, State
from algos.batches.transitions import Noise, Transitions
from algos.errors import require, require_positive, require_share
from algos.learner import Learner, LearnerConfig
from algos.members import batchable
from algos.networks.critics import QEnsemble, polyak, td_losses
from algos.networks.policies import DeterministicPolicy


@dataclass
class TD3Config(LearnerConfig):
    """Settings of TD3+BC and ReBRAC."""

    critics: int = 2  # Q networks; their minimum is used
    layer_norm: bool = False  # in the critics
    policy_noise: float = batchable(0.2)  # standard deviation, of the next action in the target of Q
    noise_clip: float = batchable(0.5)  # of that noise
    policy_delay: int = 2  # updates of Q for each of the policy
    target_rate: float = batchable(0.005)  # at which the target networks follow

    def check(self, key: str = "algo") -> None:
        super().check(key)
        require(self.critics >= 2, f"{key}.critics", self.critics, "at least 2: their minimum is used")
        require(self.policy_noise >= 0, f"{key}.policy_noise", self.policy_noise, "a number of at least 0")
        require_positive(self, key, "noise_clip", "policy_delay")
        require_share(self, key, "target_rate")


class TD3(Learner):
    """TD3 without the loss of its policy."""

    goes_online = True

    def __init__(self, config: TD3Config, data: Episodes, seeds: Sequence[int]) -> None:
        super().__init__(config, data, seeds)
        self.policy_net: DeterministicPolicy = DeterministicPolicy(self.observation_width, self.action_width, self.hidden)
        self.critic = QEnsemble(self.observation_width, self.action_width, self.hidden, config.critics, config.layer_norm)
        self.add("policy", self.policy_net.init(self.generators(0)))
        self.add("critic", self.critic.init(self.generators(1)))
        self.state["target_critic"], self.state["target_policy"] = self.state["critic"].clone(), self.state["policy"].clone()
        self.policy_delay = config.policy_delay
        self.policy_noise, self.noise_clip = self.scalar(config.policy_noise), self.scalar(config.noise_clip)
        self.target_rate = self.scalar(config.target_rate)

    def noise(self) -> dict[str, Noise]:
        return {"next": Noise((self.config.batch_size, self.action_width))}

    def next_actions(self, state: State, batch: Transitions) -> Tensor:
        """Smoothed actions [P, B, act] of the target policy (Fujimoto et al. 2018, eq. 14)."""
        scale, clip = self.policy_noise.view(-1, 1, 1), self.noise_clip.view(-1, 1, 1)
        noise = (scale * batch.noise["next"]).clamp(-clip, clip)
        return (self.policy_net.mean(self.params(state["target_policy"]), batch.next_observations) + noise).clamp(-1, 1)

    def next_values(self, state: State, batch: Transitions) -> Tensor:
        """The value [P, B] of the next state in the TD target."""
        return self.critic(state["target_critic"], batch.next_observations, self.next_actions(state, batch)).amin(1)

    def critic_losses(self, flat: Tensor, batch: Transitions, target: Tensor) -> Tensor:
        return td_losses(self.critic(flat, batch.observations, batch.actions), target)

    @abstractmethod
    def policy_losses(self, flat: Tensor, state: State, batch: Transitions) -> Tensor:
        """The losses [P] of the policy's parameters `flat` [P, N]."""

    def update(self, state: State, batch: Transitions) -> Metrics:
        target = self.backup(batch, self.next_values(state, batch))
        critic_loss = self.minimise(state, "critic", lambda flat: self.critic_losses(flat, batch, target))
        return {"critic_loss": critic_loss, "q_target": target.mean(-1)}

    def phase(self, update: int) -> int:
        return int((update + 1) % self.policy_delay == 0)

    def delayed(self, state: State, batch: Transitions) -> None:
        """The steps of the policy and of the target networks."""
        self.minimise(state, "policy", lambda flat: self.policy_losses(flat, state, batch))
        polyak(state["target_critic"], state["critic"], self.target_rate)
        polyak(state["target_policy"], state["policy"], self.target_rate)
