"""The environment that policies are played in, where a run asks for another one than the data set's own, or for none."""

from __future__ import annotations

import copy
from dataclasses import dataclass
from typing import Any

from envs.data.environments import find_spec
from envs.data.horizon import limit_of, limited, limits_time
from envs.data.trust import check_module

NONE = "none"


@dataclass(frozen=True)
class EnvChoice:
    """A choice of the environment for evaluation.

    env: an id of Gymnasium's, "none" to play in no environment, None for the data set's own. max_episode_steps: steps after which an
    episode is truncated; None for the environment's own limit.
    """

    env: str | None = None
    max_episode_steps: int | None = None

    @property
    def own(self) -> bool:
        """True for the data set's own environment with its own limit."""
        return self == OWN

    @property
    def without(self) -> bool:
        """True if no environment is used: nothing is evaluated."""
        return (self.env or "").lower() == NONE

    @property
    def replaces(self) -> bool:
        """True if the data set's own environment is not made."""
        return self.env is not None

    def label(self, dataset: str) -> str:
        """`dataset` as the row of a table: "ID", "ID in ENV", "ID in ENV (100 steps)", "ID without environment"."""
        if self.without:
            return f"{dataset} without environment"
        place = "" if self.env is None else f" in {self.env}"
        return f"{dataset}{place}" + ("" if self.max_episode_steps is None else f" ({self.max_episode_steps} steps)")

    def find(self) -> Any:
        """Gymnasium's spec of environment `env`. Raises DataError for an unknown id, or one of a package that is not trusted."""
        assert self.env is not None
        if ":" in self.env:  # Gymnasium imports what stands before the colon
            check_module(f"env = {self.env}", self.env.split(":")[0])
        return find_spec(self.env)

    def limited(self, spec: Any) -> Any:
        """A copy of `spec` with the limit of steps, if one is chosen."""
        return copy.deepcopy(spec) if self.max_episode_steps is None else limited(spec, self.max_episode_steps)


OWN = EnvChoice()


def describe(spec: Any) -> str:
    """A spec in words: "Hopper-v5 (1000 steps)"."""
    return spec.id + ("" if (steps := limit_of(spec)) is None else f" ({steps} steps)")


DRAWING = ("render_mode", "width", "height", "camera_id", "camera_name", "default_camera_config", "max_geom", "visual_options")


def _arguments(spec: Any) -> dict[str, Any]:
    return {k: v for k, v in (spec.kwargs or {}).items() if k not in DRAWING}


def same_environment(one: Any, other: Any) -> bool:
    """True if two of Gymnasium's specs make the same environment: id, arguments, limit of steps and wrappers agree."""

    def parts(spec: Any) -> tuple[Any, ...]:
        return spec.id, _arguments(spec), limit_of(spec), tuple(map(repr, spec.additional_wrappers or ()))

    return parts(one) == parts(other)


def differences(one: Any, other: Any, limits: bool = True) -> str:
    """The differences of two of Gymnasium's specs in words, empty if they are one environment up to the units of actions.

    RescaleAction, which changes nothing but these units, is not compared. limits: compare the limits of steps as well.
    """

    def wrappers(spec: Any) -> list[str]:
        return [f"{w.name}({w.kwargs or ''})" for w in spec.additional_wrappers or () if not rescales(w) and not limits_time(w)]

    if (one.id, one.entry_point) != (other.id, other.entry_point):
        return f"{one.id} and {other.id}" if one.id != other.id else f"{one.id} is {one.entry_point} and {other.entry_point}"
    found = []
    for key in sorted({*_arguments(one), *_arguments(other)}):
        a, b = (repr(_arguments(spec).get(key, "its default")) for spec in (one, other))
        if a != b:
            found.append(f"{key} = {a} and {b}")
    if limits and limit_of(one) != limit_of(other):
        found.append(f"{limit_of(one)} and {limit_of(other)} steps")
    if wrappers(one) != wrappers(other):
        found.append(f"wrappers {', '.join(wrappers(one)) or 'none'} and {', '.join(wrappers(other)) or 'none'}")
    return "; ".join(found) and f"{one.id}: {'; '.join(found)}"


def rescales(wrapper: Any) -> bool:
    """True for Gymnasium's RescaleAction."""
    return str(wrapper.entry_point).startswith("gymnasium.") and str(wrapper.entry_point).endswith(":RescaleAction")
