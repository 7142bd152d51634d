"""A data set in memory: its trajectories, its environment and its reference scores."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from envs.data.actions import ActionUnits
from envs.data.references import Reference
from envs.data.trajectories import Trajectories


@dataclass(frozen=True)
class LoggedData:
    """Data set `dataset`, an id or an expression of `envs.data.selection`.

    trajectories: the episodes, with actions scaled to [-1, 1] and clipped; discrete actions are numbers from 0. units: the environment's
    units of actions. env_spec: the environment of evaluation, as Gymnasium's JSON; empty if the data set
    names none. reference: the returns of scores 0 and 100, or None. clipped: share of action entries outside the bounds. note: a remark
    for tables, or empty. own_env: the data set's own environment in words where `env_spec` is another one (envs.data.env_choice); reference
    scores then do not hold and are None. Else empty. horizon: a remark on a
    time limit that is not the environment's own, or empty.
    """

    dataset: str
    trajectories: Trajectories
    units: ActionUnits
    env_spec: str
    reference: Reference | None
    clipped: float
    note: str = ""
    own_env: str = ""
    horizon: str = ""

    @property
    def remarks(self) -> str:
        """All remarks for tables."""
        return "; ".join(remark for remark in (self.note, self.horizon) if remark)

    @property
    def observation_width(self) -> int:
        return self.trajectories.observations.shape[1]

    @property
    def action_width(self) -> int:
        return self.trajectories.actions.shape[1]

    def to_env(self, actions: np.ndarray) -> np.ndarray:
        """Actions [..., act] in [-1, 1] in the environment's units; discrete actions [..., 1] as the environment's numbers [...]."""
        return self.units.to_env(actions)
