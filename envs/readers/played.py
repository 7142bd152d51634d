"""The environment that policies of a data set are evaluated in, and the units of each part's actions.

Parts of a combination are of one environment. Their actions may be in other units where a RescaleAction alone makes the difference: each
part is scaled by its own bounds, which is exact.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import gymnasium
import numpy as np
from gymnasium import spaces

from envs.data.actions import ActionUnits, supported
from envs.data.env_choice import EnvChoice, describe, differences, same_environment
from envs.data.environments import quiet
from envs.data.horizon import keep_horizon, limit_of, limited, longest_limit, stated_limit
from envs.data.references import Reference
from envs.data.spaces import form, width
from envs.data.trajectories import Trajectories
from envs.data.wrappers import Stripped, check_repeatable, stripped
from envs.errors import DataError, first_line
from envs.readers.episode_files import EpisodeFiles

ACTIONS = "expected a box of rank 1 or a discrete space"


@dataclass(frozen=True)
class Opened:
    """An open data set: its files, Minari's object, the numbers of the selected episodes."""

    files: EpisodeFiles
    data: Any
    episodes: np.ndarray

    @property
    def declared(self) -> ActionUnits:
        """The units of actions that the files declare."""
        return ActionUnits.of(self.data.action_space)

    @property
    def inferred(self) -> bool:
        """True if the declared bounds are only those of the data (envs.readers.arrays)."""
        return self.data.env_spec is None and "arrays" in self.files.metadata

    def own(self, choice: EnvChoice) -> Stripped | None:
        """The data set's own environment as it is evaluated, None if the files name none. Raises DataError."""
        recorded, played = self.data.env_spec, self.data._eval_env_spec  # Minari has no public name for it
        found = [stripped(self.files.dataset, spec, not choice.replaces) for spec in (recorded, played) if spec is not None]
        # The rewards in the files are those of the environment of recording.
        return found[-1]._replace(rewards=found[0].rewards) if found else None


class Played(NamedTuple):
    """The environment of evaluation.

    units: its units of actions. parts: the units of each part's recorded actions. spec: Gymnasium's JSON, empty without one. own_env: the
    data set's own environment in words, if `spec` is another one. horizon: a remark on the time limit. rewards: names of the wrappers that
    changed the data's rewards and that evaluation leaves out.
    """

    units: ActionUnits
    parts: list[ActionUnits]
    spec: str
    own_env: str
    horizon: str
    rewards: tuple[str, ...]


def played_in(opened: Sequence[Opened], trajectories: Trajectories, reference: Reference | None, choice: EnvChoice) -> Played:
    """The environment of evaluation of all parts, whose episodes are `trajectories`.

    Raises DataError if parts differ in their environment, or if the environment's spaces do not fit the data.
    """
    first, owns = opened[0], [part.own(choice) for part in opened]
    for part, own in zip(opened[1:], owns[1:], strict=True):
        _check_one_environment(first, owns[0], part, own)
    own = next((found for found in owns if found is not None), None)
    rewards = () if own is None else own.rewards
    if choice.without or (own is None and not choice.replaces):
        units = _widest(opened) if all(part.inferred for part in opened) else first.declared
        parts = _units_of_parts(opened, owns, units)
        return Played(units, parts, "", "" if own is None else describe(own.spec), "", rewards)
    if choice.max_episode_steps is None:
        _check_one_limit(opened, owns, reference)
    chosen = stripped(f"env = {choice.env}", choice.find()).spec if choice.replaces else None
    env = _made(first, own, chosen, choice)
    try:
        units = _checked_units(first, env, trajectories, choice)
        check_repeatable(first.files.dataset, env)
        base = own.spec if chosen is not None and own is not None else env.spec
        kept, horizon = keep_horizon(first.files.dataset, base, first.files.metadata, reference, trajectories)
        spec = choice.limited(env.spec if chosen is not None and own is not None else kept)
        if limit_of(spec) is None:
            spec = limited(spec, longest_limit(trajectories))
        same = same_environment(spec, kept)
        parts = _units_of_parts(opened, owns, units)
        return Played(units, parts, spec.to_json(), "" if same else describe(kept), horizon if same else "", rewards)
    finally:
        env.close()


def _made(first: Opened, own: Stripped | None, chosen: Any, choice: EnvChoice) -> Any:
    """The environment, made. Raises DataError."""
    try:
        with quiet():
            if chosen is not None:
                return gymnasium.make(chosen, disable_env_checker=True)
            assert own is not None
            if first.data._eval_env_spec is None and own.spec == first.data.env_spec:
                return first.data.recover_environment(disable_env_checker=True)  # warns of other versions than those recorded with
            return gymnasium.make(own.spec, disable_env_checker=True)
    except Exception as error:  # an environment's constructor can raise anything
        name, remedy = (f"env = {choice.env}:", "") if choice.replaces else ("its", "; see env_spec in metadata.json")
        raise DataError(f"{first.files.dataset}: {name} environment cannot be made ({first_line(error)}){remedy}") from error


def _checked_units(opened: Opened, env: Any, trajectories: Trajectories, choice: EnvChoice) -> ActionUnits:
    """The units of the actions of `env`. Raises DataError unless its spaces are those of the data set."""
    dataset, data = opened.files.dataset, opened.data
    space, action_space = env.observation_space, env.action_space
    if not supported(action_space):
        raise DataError(f"{dataset}: environment {env.spec.id} has actions {action_space}; {ACTIONS}")
    widths = width(space), 1 if isinstance(action_space, spaces.Discrete) else int(np.prod(action_space.shape, dtype=int))
    for name, expected, array, shown in (
        ("observations", widths[0], trajectories.observations, space),
        ("actions", widths[1], trajectories.actions, action_space),
    ):
        if expected != array.shape[1]:
            raise DataError(f"{dataset}: {name} are {array.shape[1]} wide; environment {env.spec.id} has {shown}")
    remedy = "choose another environment" if choice.replaces else "write it again"
    for name, logged, played in (("observations", data.observation_space, space), ("actions", data.action_space, action_space)):
        if form(logged) != form(played):
            raise DataError(f"{dataset}: its {name} have space {logged}, those of environment {env.spec.id} {played}; {remedy}")
    units = ActionUnits.of(action_space)
    if not opened.inferred and not units.agree(opened.declared):
        raise DataError(
            f"{dataset}: its actions are declared as {data.action_space}, those of environment {env.spec.id} are {action_space}: other "
            f"units; {remedy}"
        )
    return units


def _check_one_environment(first: Opened, first_own: Stripped | None, other: Opened, other_own: Stripped | None) -> None:
    """Raise DataError unless both data sets are of one environment, up to the units of actions."""
    names = f"{other.files.dataset} cannot be combined with {first.files.dataset}"
    if first_own is None or other_own is None:
        return  # the units of actions are compared
    if differing := differences(other_own.spec, first_own.spec):
        raise DataError(f"{names}: their environments differ ({differing})")
    if other_own.rewards != first_own.rewards:
        raise DataError(f"{names}: their rewards were changed by different wrappers ({_listed(other_own)} and {_listed(first_own)})")


def _check_one_limit(opened: Sequence[Opened], owns: Sequence[Stripped | None], reference: Reference | None) -> None:
    """Raise DataError if the data sets have different time limits."""
    limits = [
        stated_limit(part.files.dataset, part.files.metadata, reference) or limit_of(own.spec)
        for part, own in zip(opened, owns, strict=True)
        if own is not None
    ]
    if other := next((k for k, limit in enumerate(limits) if limit != limits[0]), 0):
        names = f"{opened[other].files.dataset} cannot be combined with {opened[0].files.dataset}"
        raise DataError(f"{names}: their time limits differ ({limits[other]} and {limits[0]} steps); set one with eval.max_episode_steps=N")


def _listed(own: Stripped) -> str:
    return ", ".join(own.rewards) or "none"


def _units_of_parts(opened: Sequence[Opened], owns: Sequence[Stripped | None], units: ActionUnits) -> list[ActionUnits]:
    """The units of each part's actions: `units`, or its own where RescaleAction makes the difference. Raises DataError for another one."""
    found = []
    for part, own in zip(opened, owns, strict=True):
        same = units.agree(part.declared) or (part.inferred and len(opened) == 1) or all(o.inferred for o in opened)
        if not same and not any(o is not None and o.rescales for o in (own, owns[0])):
            bounds = f"{part.data.action_space} and {opened[0].data.action_space}"
            raise DataError(f"{part.files.dataset} cannot be combined with {opened[0].files.dataset}: units of actions differ ({bounds})")
        found.append(units if same else part.declared)
    return found


def _widest(opened: Sequence[Opened]) -> ActionUnits:
    """The smallest bounds that hold those of all parts, which are inferred from their data."""
    all_units = [part.declared for part in opened]
    if all_units[0].num_actions:
        return all_units[0]
    return ActionUnits(np.min([u.low for u in all_units], 0), np.max([u.high for u in all_units], 0))
