"""ReBRAC: TD3 with a penalty in each loss (Tarasov et al. 2023, arXiv 2305.09836), the variant of its authors' code.

TD3 (td3.py) with

    y = r + discount * live * (min_k Qbar_k(s', a') - critic_penalty * |a' - a'_data|^2)      (the target of Q)
    L_pi = mean ( policy_penalty * |pi(s) - a|^2 - min_k Q_k(s, pi(s)) / mean |min_k Q_k(s, pi(s))| )

with squared norms (sums over action dimensions), LayerNorm after each ReLU of the critics, three hidden layers, batches of 1024.
Two details differ from the code. The last step of a truncated episode has no a'_data, so its penalty in the target is 0 (the code drops the
step). The target policy moves towards the policy after its step (the code's: before).
While the method goes on online, a share that falls linearly multiplies both penalties (`online.penalty`).
The paper tunes both penalties for each data set; conf/domains.yaml has its values.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

from torch import Tensor

from algos.base import Episodes, State
from algos.batches.transitions import Transitions
from algos.errors import require
from algos.members import batchable
from algos.methods.td3 import TD3, TD3Config


@dataclass
class ReBRACConfig(TD3Config):
    """ReBRAC."""

    name: str = "rebrac"
    batch_size: int = 1024
    hidden: list[int] = field(default_factory=lambda: [256, 256, 256])
    learning_rate: float = 1e-3
    critic_learning_rate: float = 1e-3
    layer_norm: bool = True
    policy_penalty: float = batchable(0.01)  # of the distance to the data's actions, in the policy's loss
    critic_penalty: float = batchable(0.01)  # the same, in the target of Q

    def check(self, key: str = "algo") -> None:
        super().check(key)
        for name in ("policy_penalty", "critic_penalty"):
            require(0 <= getattr(self, name) < float("inf"), f"{key}.{name}", getattr(self, name), "a number of at least 0")


class ReBRAC(TD3):
    def __init__(self, config: ReBRACConfig, data: Episodes, seeds: Sequence[int]) -> None:
        super().__init__(config, data, seeds)
        self.policy_penalty, self.critic_penalty = self.scalar(config.policy_penalty), self.scalar(config.critic_penalty)

    def next_values(self, state: State, batch: Transitions) -> Tensor:
        actions = self.next_actions(state, batch)
        logged, has_next = self.stream.next_actions(batch.step)
        penalty = (actions - logged).square().sum(-1) * has_next
        q = self.critic(state["target_critic"], batch.next_observations, actions).amin(1)
        return q - self.penalty_share * self.critic_penalty.unsqueeze(1) * penalty

    def policy_losses(self, flat: Tensor, state: State, batch: Transitions) -> Tensor:
        actions = self.policy_net.mean(self.params(flat), batch.observations)
        q = self.critic(state["critic"], batch.observations, actions).amin(1)
        penalty = (actions - batch.actions).square().sum(-1).mean(-1)
        return self.penalty_share * self.policy_penalty * penalty - q.mean(-1) / q.detach().abs().mean(-1)
