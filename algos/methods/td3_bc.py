"""TD3+BC: a minimalist approach to offline RL (Fujimoto & Gu 2021, arXiv 2106.06860), the variant of its authors' code.

    a' = clip(pibar(s') + clip(policy_noise * eps, -noise_clip, noise_clip), -1, 1)
    L_Q = sum_k mean (Q_k(s, a) - r - discount * live * min_k Qbar_k(s', a'))^2
    every policy_delay updates, after Q's step:
    L_pi = - alpha / mean |Q_1(s, pi(s))| * mean Q_1(s, pi(s)) + mean (pi(s) - a)^2        (eq. 3 and 5; no gradient through the scale)
    Qbar <- (1 - target_rate) Qbar + target_rate Q, pibar likewise

The second mean of L_pi is over steps and action dimensions. Defaults are the code's: observations normalised, rewards as they are.
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
from algos.networks.actors import DeterministicPolicy
from algos.networks.critics import QEnsemble, polyak, td_losses


@dataclass
class TD3Config(LearnerConfig):
    """What TD3+BC and ReBRAC share."""

    critics: int = 2
    layer_norm: bool = False  # in the critics
    policy_noise: float = batchable(0.2)
    noise_clip: float = batchable(0.5)
    policy_delay: int = 2
    target_rate: float = batchable(0.005)

    def check(self, key: str = "algo") -> None:
        super().check(key)
        require(self.critics >= 2, f"{key}.critics", self.critics, "at least 2: the target is the smaller of them")
        require(self.policy_noise >= 0, f"{key}.policy_noise", self.policy_noise, "a number of at least 0")
        require_positive(self, key, "noise_clip", "policy_delay")
        require_share(self, key, "target_rate")


@dataclass
class TD3BCConfig(TD3Config):
    """TD3+BC."""

    name: str = "td3_bc"
    alpha: float = batchable(2.5)  # of Q against imitation; 0 is behaviour cloning
    normalize_observations: bool = True

    def check(self, key: str = "algo") -> None:
        super().check(key)
        require(0 <= self.alpha < float("inf"), f"{key}.alpha", self.alpha, "a number of at least 0")


class TD3(Learner):
    """TD3 with what a method adds to its two losses."""

    def __init__(self, config: TD3Config, data: Episodes, seeds: Sequence[int]) -> None:
        super().__init__(config, data, seeds)
        self.policy_net: DeterministicPolicy = DeterministicPolicy(self.observation_width, self.action_width, self.hidden)
        self.critic = QEnsemble(self.observation_width, self.action_width, self.hidden, config.critics, config.layer_norm)
        self.add("policy", self.policy_net.init(self.generators(0)))
        self.add("critic", self.critic.init(self.generators(1)))
        self.state["target"], self.state["policy_target"] = self.state["critic"].clone(), self.state["policy"].clone()
        self.policy_delay = config.policy_delay
        self.policy_noise, self.noise_clip = self.scalar(config.policy_noise), self.scalar(config.noise_clip)
        self.target_rate = self.scalar(config.target_rate)

    def noise(self) -> dict[str, Noise]:
        return {"next": Noise((self.settings.batch_size, self.action_width))}

    def next_actions(self, state: State, batch: Transitions) -> Tensor:
        """[P, B, act] of the target policy, smoothed (Fujimoto et al. 2018, eq. 14)."""
        scale, clip = self.policy_noise.view(-1, 1, 1), self.noise_clip.view(-1, 1, 1)
        noise = (scale * batch.noise["next"]).clamp(-clip, clip)
        return (self.policy_net.mean(self.params(state["policy_target"]), batch.next_observations) + noise).clamp(-1, 1)

    def next_values(self, state: State, batch: Transitions) -> Tensor:
        """[P, B] value of the next state in Q's target."""
        return self.critic(state["target"], batch.next_observations, self.next_actions(state, batch)).amin(1)

    def critic_losses(self, flat: Tensor, batch: Transitions, target: Tensor) -> Tensor:
        return td_losses(self.critic(flat, batch.observations, batch.actions), target)

    @abstractmethod
    def policy_losses(self, flat: Tensor, state: State, batch: Transitions) -> Tensor:
        """[P] loss of the policy's parameters `flat` [P, N]."""

    def update(self, state: State, batch: Transitions) -> Metrics:
        target = self.backup(batch, self.next_values(state, batch))
        critic_loss = self.minimise(state, "critic", lambda flat: self.critic_losses(flat, batch, target))
        return {"critic_loss": critic_loss, "q_target": target.mean(-1)}

    def phase(self, update: int) -> int:
        return int((update + 1) % self.policy_delay == 0)

    def delayed(self, state: State, batch: Transitions) -> None:
        """The policy's step and the targets'."""
        self.minimise(state, "policy", lambda flat: self.policy_losses(flat, state, batch))
        polyak(state["target"], state["critic"], self.target_rate)
        polyak(state["policy_target"], state["policy"], self.target_rate)


class TD3BC(TD3):
    def __init__(self, config: TD3BCConfig, data: Episodes, seeds: Sequence[int]) -> None:
        super().__init__(config, data, seeds)
        self.alpha = self.scalar(config.alpha)

    def policy_losses(self, flat: Tensor, state: State, batch: Transitions) -> Tensor:
        actions = self.policy_net.mean(self.params(flat), batch.observations)
        q = self.critic(state["critic"], batch.observations, actions)[:, 0]
        scale = self.alpha / q.detach().abs().mean(-1)
        return -scale * q.mean(-1) + (actions - batch.actions).square().mean((1, 2))
