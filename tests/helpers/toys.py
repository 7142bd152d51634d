"""Toy environments with any spaces, strict about their actions, and data sets of them.

Tests that use them set IWSFT_TRUSTED_PACKAGES=tests.helpers.toys (`trust`).
"""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, ClassVar

import gymnasium
import numpy as np
import pytest
from gymnasium import spaces
from gymnasium.envs.registration import EnvSpec

from tests.helpers.logged import write_spec

STEPS = 5


def trust(patch: pytest.MonkeyPatch) -> None:
    """Let data sets name the environments of this module."""
    patch.setenv("IWSFT_TRUSTED_PACKAGES", "tests.helpers.toys")


class Toy(gymnasium.Env):
    """Observations 0, 1, ..., the step; reward `pay`; terminates after `steps` steps. Refuses actions outside its space."""

    action_space: spaces.Space = spaces.Box(-1, 1, (1,), np.float32)
    observation_space: spaces.Space = spaces.Box(-np.inf, np.inf, (2,), np.float32)

    def __init__(self, steps: int = STEPS) -> None:
        self.steps = steps

    def observe(self) -> Any:
        return np.full(2, self.time, np.float32)

    def pay(self, action: Any) -> float:
        return 1.0

    def reset(self, *, seed: int | None = None, options: Any = None) -> tuple[Any, dict]:
        super().reset(seed=seed)
        self.time = 0
        return self.observe(), {}

    def step(self, action: Any) -> tuple[Any, float, bool, bool, dict]:
        assert self.action_space.contains(action), f"{action!r} is not in {self.action_space}"
        reward = self.pay(action)
        self.time += 1
        return self.observe(), reward, self.time >= self.steps, False, {}


class Numbered(Toy):
    """Actions `start`, `start` + 1, `start` + 2; the last pays 1."""

    def __init__(self, start: int = 1) -> None:
        super().__init__()
        self.action_space = spaces.Discrete(3, start=start)

    def pay(self, action: Any) -> float:
        return float(action == self.action_space.start + 2)


class Boxed(Toy):
    """Actions in a box; the reward is their sum."""

    def __init__(self, low: Sequence[float], high: Sequence[float], dtype: str = "float32") -> None:
        super().__init__()
        self.action_space = spaces.Box(np.array(low, dtype), np.array(high, dtype), dtype=np.dtype(dtype).type)

    def pay(self, action: Any) -> float:
        return float(np.sum(action))


class Unusual(Toy):
    """Actions of a space in which no policy can act, by name."""

    SPACES: ClassVar[dict[str, Callable[[], spaces.Space]]] = {
        "multidiscrete": lambda: spaces.MultiDiscrete([3, 2], start=[1, 0]),
        "multibinary": lambda: spaces.MultiBinary(2),
        "tuple": lambda: spaces.Tuple((spaces.Discrete(3, start=1), spaces.Box(-1, 1, (2,)))),
        "dict": lambda: spaces.Dict({"a": spaces.Dict({"b": spaces.Discrete(2)}), "c": spaces.Box(-1, 1, (2,))}),
        "matrix": lambda: spaces.Box(-1, 1, (2, 2)),
        "number": lambda: spaces.Box(-1, 1, ()),
    }

    def __init__(self, kind: str) -> None:
        super().__init__()
        self.action_space = self.SPACES[kind]()


class Observed(Toy):
    """Observations of a space by name; they step through its values."""

    SPACES: ClassVar[dict[str, Callable[[], spaces.Space]]] = {
        "discrete": lambda: spaces.Discrete(6, start=2),
        "multidiscrete": lambda: spaces.MultiDiscrete([6, 7], start=[1, -2]),
        "tuple": lambda: spaces.Tuple((spaces.Discrete(6, start=1), spaces.Discrete(8, start=-1))),
        "nested": lambda: spaces.Dict(
            {"b": spaces.Tuple((spaces.Discrete(6, start=3), spaces.Tuple((spaces.MultiBinary(2), spaces.Box(0, 9, (2, 1)))))),
             "a": spaces.Box(0, 9, (1,))}
        ),
    }  # fmt: skip

    def __init__(self, kind: str) -> None:
        super().__init__()
        self.observation_space = self.SPACES[kind]()

    def observe(self) -> Any:
        return value(self.observation_space, self.time)


class Corridor(Toy):
    """Five states in a row, as one-hot observations: an action above 0 goes right, else left; right of the last the episode ends with
    reward 1. It begins in a state that the seed chooses."""

    def __init__(self) -> None:
        super().__init__()
        self.state = 0
        self.observation_space = spaces.Box(0, 1, (5,), np.float32)

    def reset(self, *, seed: int | None = None, options: Any = None) -> tuple[Any, dict]:
        super().reset(seed=seed)
        self.state = int(self.np_random.integers(5))
        return self.observe(), {}

    def observe(self) -> Any:
        return np.eye(5, dtype=np.float32)[self.state]

    def step(self, action: Any) -> tuple[Any, float, bool, bool, dict]:
        if action[0] > 0 and self.state == 4:
            return self.observe(), 1.0, True, False, {}
        self.state = max(0, self.state + (1 if action[0] > 0 else -1))
        return self.observe(), 0.0, False, False, {}


class Forgetful(Toy):
    """An environment that does not repeat an episode from its seed and actions."""

    def observe(self) -> Any:
        return np.random.default_rng().normal(size=2).astype(np.float32)


class Endless(Toy):
    """An environment that never ends an episode."""

    def __init__(self) -> None:
        super().__init__(10**9)


def value(space: spaces.Space, time: int) -> Any:
    """The value number `time` of `space`."""
    if isinstance(space, spaces.Dict):
        return {name: value(part, time) for name, part in space.spaces.items()}
    if isinstance(space, spaces.Tuple):
        return tuple(value(part, time) for part in space.spaces)
    if isinstance(space, spaces.Discrete):
        return np.int64(space.start + time % space.n)
    if isinstance(space, spaces.MultiDiscrete):
        return space.start + time % space.nvec
    if isinstance(space, spaces.MultiBinary):
        return np.full(space.shape, time % 2, np.int8)
    assert isinstance(space, spaces.Box)
    return np.full(space.shape, time, space.dtype)


def spec(name: str, max_episode_steps: int | None = None, **kwargs: Any) -> EnvSpec:
    """The spec of class `name` of this module."""
    return EnvSpec(id=f"{name}-v0", entry_point=f"{__name__}:{name}", max_episode_steps=max_episode_steps, kwargs=kwargs)


def record(
    dataset: str, env: EnvSpec, episodes: int = 6, act: Callable[[Any], Any] | None = None, cut: int | None = None,
    data_format: str = "hdf5", **metadata: Any,
) -> Path:  # fmt: skip
    """Record a data set of random actions, or of `act(observation)`, truncated after `cut` steps; return its folder."""
    made = gymnasium.make(env, disable_env_checker=True)
    made.action_space.seed(0)
    folder = write_spec(dataset, [_play(made, seed, act, cut) for seed in range(episodes)], env, data_format=data_format)
    made.close()
    if metadata:
        path = folder / "data" / "metadata.json"
        path.write_text(json.dumps(json.loads(path.read_text()) | metadata))
    return folder


def _play(env: gymnasium.Env, seed: int, act: Callable[[Any], Any] | None, cut: int | None) -> dict[str, Any]:
    observations, steps, ended = [env.reset(seed=seed)[0]], [], False
    while not ended:
        action = env.action_space.sample() if act is None else act(observations[-1])
        observation, reward, terminated, truncated, _ = env.step(action)
        truncated = truncated or len(steps) + 1 == cut
        observations.append(observation)
        steps.append((action, float(reward), terminated, truncated))
        ended = terminated or truncated
    actions, rewards, terminations, truncations = zip(*steps, strict=True)
    flags = {"terminations": np.array(terminations), "truncations": np.array(truncations)}
    return {"observations": joined(observations), "actions": joined(actions), "rewards": np.array(rewards), **flags}


def joined(rows: Sequence[Any]) -> Any:
    """Values of a space as arrays, in dicts and tuples as the space has them."""
    if isinstance(rows[0], dict):
        return {name: joined([row[name] for row in rows]) for name in rows[0]}
    if isinstance(rows[0], tuple):
        return tuple(joined([row[k] for row in rows]) for k in range(len(rows[0])))
    return np.asarray(rows)
