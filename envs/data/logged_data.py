"""A data set in memory: its trajectories, its environment and its reference scores."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from envs.data.references import Reference
from envs.data.trajectories import Trajectories


@dataclass(frozen=True)
class LoggedData:
    """Data set `dataset`, an id or an expression of `envs.data.selection`.

    trajectories: the episodes, with actions scaled to [-1, 1] and clipped. action_low, action_high: [act], the environment's bounds;
    empty for discrete actions, which stay numbers. env_spec: the environment of evaluation, as Gymnasium's JSON; empty if the data set
    names none. reference: the returns of scores 0 and 100, or None. clipped: share of action entries outside the bounds. note: a remark
    for tables, or empty.
    """

    dataset: str
    trajectories: Trajectories
    action_low: np.ndarray
    action_high: np.ndarray
    env_spec: str
    reference: Reference | None
    clipped: float
    note: str = ""

    @property
    def observation_width(self) -> int:
        return self.trajectories.observations.shape[1]

    @property
    def action_width(self) -> int:
        return self.trajectories.actions.shape[1]

    def to_env(self, actions: np.ndarray) -> np.ndarray:
        """Actions [..., act] in [-1, 1] in the environment's units; discrete actions [..., 1] as whole numbers [...]."""
        if self.trajectories.num_actions:
            return actions[..., 0].astype(np.int64)
        return (self.action_high + self.action_low) / 2 + (self.action_high - self.action_low) / 2 * actions
