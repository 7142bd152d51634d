"""TD3+BC: a minimalist approach to offline RL (Fujimoto & Gu 2021, arXiv 2106.06860), the variant of its authors' code.

TD3 (td3.py) with

    L_pi = - alpha / mean |Q_1(s, pi(s))| * mean Q_1(s, pi(s)) + mean (pi(s) - a)^2        (eq. 3 and 5; no gradient through the scale)

The second mean is over steps and action dimensions. While the method goes on online, it is multiplied by a share that falls linearly
(`online.penalty`). Defaults are the code's: observations normalised, rewards unchanged.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from torch import Tensor

from algos.base import Episodes, State
from algos.batches.transitions import Transitions
from algos.errors import require
from algos.members import batchable
from algos.methods.td3 import TD3, TD3Config


@dataclass
class TD3BCConfig(TD3Config):
    """TD3+BC."""

    name: str = "td3_bc"
    alpha: float = batchable(2.5)  # of Q against imitation; 0 is behaviour cloning
    normalize_observations: bool = True

    def check(self, key: str = "algo") -> None:
        super().check(key)
        require(0 <= self.alpha < float("inf"), f"{key}.alpha", self.alpha, "a number of at least 0")


class TD3BC(TD3):
    def __init__(self, config: TD3BCConfig, data: Episodes, seeds: Sequence[int]) -> None:
        super().__init__(config, data, seeds)
        self.alpha = self.scalar(config.alpha)

    def policy_losses(self, flat: Tensor, state: State, batch: Transitions) -> Tensor:
        actions = self.policy_net.mean(self.params(flat), batch.observations)
        q = self.critic(state["critic"], batch.observations, actions)[:, 0]
        scale = self.alpha / q.detach().abs().mean(-1)
        return -scale * q.mean(-1) + self.penalty_share * (actions - batch.actions).square().mean((1, 2))
