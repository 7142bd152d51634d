"""A data set in memory: its trajectories, its environment and its reference scores."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from gymnasium.envs.registration import EnvSpec

from envs.data.actions import ActionUnits
from envs.data.env_choice import differences, rescales
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
    time limit that is not the environment's own, or empty. unscored: why no reference holds and none is measured, so that returns stay raw;
    else empty. other_rewards: the data's rewards are not those of the environment of evaluation, and so are their returns.
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
    unscored: str = ""
    other_rewards: bool = False

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


def differences_between(one: LoggedData, other: LoggedData) -> str:
    """The differences of the environments of two data sets in words, empty if a policy of one acts in the other: limits of steps aside."""
    specs = [EnvSpec.from_json(data.env_spec) for data in (one, other) if data.env_spec]
    if len(specs) == 2 and (found := differences(specs[0], specs[1], limits=False)):
        return f"environments {found}"
    own = [data.own_env.split(" (")[0] for data in (one, other) if data.own_env]
    if len(own) == 2 and own[0] != own[1]:
        return f"environments {own[0]} and {own[1]}"
    if not one.units.agree(other.units) and not any(rescales(w) for spec in specs for w in spec.additional_wrappers):
        return "units of actions " + " and ".join(f"{d.units.low} to {d.units.high}" for d in (one, other))
    return ""
