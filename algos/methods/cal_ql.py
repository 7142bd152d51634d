"""Cal-QL: calibrated conservative Q-learning (Nakamoto et al. 2023, arXiv 2303.05479), the option of its code for CQL.

CQL (cql.py) whose conservative term does not push Q below the value of the behaviour policy, estimated by the logged return to go:

    L_Q = mean (Q_k(s, a) - y)^2 + alpha * mean (log sum_j exp(c(Q_k(s, b_j)) - log density(b_j)) - Q_k(s, a))        (eq. 5.1)
    c(Q_k(s, b)) = max(Q_k(s, b), G(s)) for b ~ pi(s) and b ~ pi(s'), Q_k(s, b) itself for uniform b

G(s_t) = sum of discount^i r_t+i to the episode's end, without a bootstrapped value there, in the units of the method's rewards. While the
method goes on online, a step has its G when its episode has ended, and no bound before that. Settings are CQL's, alpha 5 as in the code.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from algos.base import Episodes
from algos.batches.replay import MixedStream, Replay
from algos.batches.returns import lambda_returns
from algos.batches.transitions import Transitions
from algos.methods.cql import CQL, CQLConfig


@dataclass
class CalQLConfig(CQLConfig):
    """Calibrated conservative Q-learning."""

    name: str = "cal_ql"
    alpha: float = 5.0


class CalQL(CQL):
    own_columns = ("return_to_go",)

    def __init__(self, config: CalQLConfig, data: Episodes, seeds: Sequence[int]) -> None:
        super().__init__(config, data, seeds)
        rewards = self.stream.rewards
        none, last = rewards.new_zeros(self.members, len(rewards)), rewards.new_zeros(self.members, len(data.lengths))
        found = lambda_returns(data, rewards, none, last, self.discount, torch.ones_like(self.discount))
        self.tables = {"return_to_go": found}  # [P, N]

    def bounds(self, batch: Transitions) -> Tensor:
        """G [P, B] of the batch's states; -inf for own steps of an episode that has not ended."""
        table = self.tables["return_to_go"]
        if not isinstance(self.stream, MixedStream):
            return table.gather(1, batch.step)
        logged = self.stream.logged
        own = self.stream.replay.gather("return_to_go", batch.step[:, logged:] - self.stream.total)
        return torch.cat([table.gather(1, batch.step[:, :logged]), own], 1)

    def calibrated(self, many: Tensor, batch: Transitions) -> Tensor:
        bounds = self.bounds(batch)[:, None, None]
        uniform, samples = many.split([self.config.samples, 2 * self.config.samples], 2)
        return torch.cat([uniform, torch.maximum(samples, bounds)], 2)

    def end_episode(self, replay: Replay, member: int, slots: Tensor) -> None:
        """Write G of the steps in `slots`, an episode of `member` that has ended."""
        found = torch.zeros((), device=self.device)
        for slot in reversed(slots.tolist()):
            reward = replay.state["rewards"][member, slot] * self.reward_factor + self.config.reward_shift
            found = reward + self.discount[member] * found
            replay.state["return_to_go"][member, slot] = found
