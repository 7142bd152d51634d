"""Wrappers that data were recorded through, as their environment's specification names them (additional_wrappers).

A policy is evaluated with the observations and actions of its data, so wrappers of those stay. Returns are the environment's own: wrappers
that change rewards are left out, and so are those that only write, draw or clip actions, which loading does as well. Observations that
depend on everything played before (running means) can be had again by no environment, and are refused.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from typing import Any, NamedTuple

import numpy as np

from envs.data.env_choice import rescales
from envs.errors import DataError, first_line

PLAYED = 50  # steps of an episode that `check_repeatable` plays twice


class Stripped(NamedTuple):
    """An environment's specification without the wrappers that evaluation leaves out. rewards: those of them that change rewards."""

    spec: Any
    rewards: tuple[str, ...]

    @property
    def rescales(self) -> bool:
        """True if RescaleAction changes the units of actions."""
        return any(map(rescales, self.spec.additional_wrappers))


def stripped(dataset: str, spec: Any, trusted: bool = True) -> Stripped:
    """`spec` (Gymnasium's EnvSpec) as policies of data set `dataset` are evaluated in it: nothing is drawn.

    trusted: wrappers of packages other than Gymnasium may be imported; else they stay as they are. Raises DataError for a wrapper that
    cannot be imported, and for observations with a running mean.
    """
    from gymnasium import RewardWrapper
    from gymnasium import wrappers as gym

    silent = (gym.ClipAction, gym.RecordVideo, gym.RecordEpisodeStatistics, gym.RenderCollection, gym.HumanRendering)
    kept, rewards = [], []
    for wrapper in spec.additional_wrappers or ():
        kind = _imported(dataset, wrapper) if trusted or str(wrapper.entry_point).startswith("gymnasium.wrappers.") else object
        if issubclass(kind, gym.NormalizeObservation):
            raise DataError(
                f"{dataset}: its observations were recorded through {wrapper.name}, whose running mean and variance are in no file, so "
                f"that no environment can show a policy such observations; record the data again without {wrapper.name}"
            )
        if issubclass(kind, gym.NormalizeReward | RewardWrapper):
            rewards.append(f"{wrapper.name}" + (f"({wrapper.kwargs})" if wrapper.kwargs else ""))
        elif not issubclass(kind, silent):
            kept.append(wrapper)
    kwargs = {key: value for key, value in (spec.kwargs or {}).items() if key != "render_mode"}  # "human" opens a window
    return Stripped(replace(spec, kwargs=kwargs, additional_wrappers=tuple(kept)), tuple(rewards))


def _imported(dataset: str, wrapper: Any) -> type:
    """The class of `wrapper` (Gymnasium's WrapperSpec)."""
    from gymnasium.envs.registration import load_env_creator

    try:
        found: Any = load_env_creator(wrapper.entry_point)
    except Exception as error:  # a module of a package can raise anything
        raise DataError(f"{dataset}: wrapper {wrapper.name} of its environment cannot be imported ({first_line(error)})") from error
    if not isinstance(found, type):
        raise DataError(f"{dataset}: wrapper {wrapper.name} of its environment is {wrapper.entry_point}; expected a class")
    return found


def check_repeatable(dataset: str, env: Any) -> None:
    """Raise DataError unless an episode of `env` from one seed, with the same actions, is the same twice.

    A wrapper of the data set's own that keeps a state between episodes would give returns that depend on what was played before.
    """
    if not env.spec.additional_wrappers or all(w.entry_point.startswith("gymnasium.wrappers.") for w in env.spec.additional_wrappers):
        return
    env.action_space.seed(0)
    actions = [env.action_space.sample() for _ in range(PLAYED)]
    first, again = (list(_episode(env, actions)) for _ in range(2))
    if len(first) != len(again) or not all(map(np.array_equal, first, again)):
        names = ", ".join(w.name for w in env.spec.additional_wrappers)
        raise DataError(
            f"{dataset}: its environment, wrapped in {names}, gives other rewards or observations when an episode is played again from the "
            f"same seed, so returns would depend on what was played before; record the data without the wrapper that keeps a state"
        )


def _episode(env: Any, actions: list[Any]) -> Iterator[np.ndarray]:
    """Observation (flat) and reward of each step of an episode with `actions`."""
    from gymnasium.spaces import flatten

    env.reset(seed=0)
    for action in actions:
        observation, reward, terminated, truncated, _ = env.step(action)
        yield np.append(np.ravel(flatten(env.observation_space, observation)), reward)
        if terminated or truncated:
            return
