"""A data set as the suite uses it: trajectories, and what is known about them."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from envs.data.references import Reference
from envs.data.trajectories import Trajectories


@dataclass(frozen=True)
class LoggedData:
    """A data set of id `dataset`.

    trajectories: actions are scaled to the unit box [-1, 1] and clipped to it. action_low, action_high: [act], the environment's
    bounds. env_spec: the environment to evaluate in, as Gymnasium's JSON. reference: what its scores are relative to, or None.
    clipped: share of action entries that lay outside the bounds. note: what a table must say of the data set, if anything.

    Discrete actions stay their numbers: trajectories.num_actions says how many there are, the bounds are empty.
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
        """Actions [..., act] of the unit box in the environment's units; discrete ones [..., 1] as whole numbers [...]."""
        if self.trajectories.num_actions:
            return actions[..., 0].astype(np.int64)
        return (self.action_high + self.action_low) / 2 + (self.action_high - self.action_low) / 2 * actions
