"""Small data sets for tests, written by Minari."""

from __future__ import annotations

import os
import warnings
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import gymnasium
import numpy as np


def write(dataset: str, episodes: Sequence[dict[str, Any]], env: str | None = "Pendulum-v1", **more: Any) -> Path:
    """Write `episodes` (fields of EpisodeBuffer) as a Minari data set into MINARI_DATASETS_PATH and return its folder."""
    return write_spec(dataset, episodes, None if env is None else gymnasium.spec(env), **more)


def write_spec(dataset: str, episodes: Sequence[dict[str, Any]], env: Any, **more: Any) -> Path:
    """`write` with the spec of an environment."""
    import minari
    from minari.data_collector import EpisodeBuffer

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        buffers = [EpisodeBuffer(id=i, **e) for i, e in enumerate(episodes)]
        minari.create_dataset_from_buffers(dataset, buffers, env=env, **more)
    return Path(os.environ["MINARI_DATASETS_PATH"]) / dataset


def episode(rng: np.random.Generator, steps: int, obs: int = 3, act: int = 1, terminated: bool = False) -> dict[str, Any]:
    """One episode of Pendulum's shape."""
    last = np.arange(steps) == steps - 1
    return {
        "observations": rng.standard_normal((steps + 1, obs)).astype(np.float32),
        "actions": rng.uniform(-2, 2, (steps, act)).astype(np.float32),
        "rewards": rng.standard_normal(steps).astype(np.float32).astype(np.float64),
        "terminations": last & terminated,
        "truncations": last & (not terminated),
    }


def ragged(seed: int, count: int = 6) -> list[dict[str, Any]]:
    """Episodes of 1 to 12 steps, some terminated and some truncated."""
    rng = np.random.default_rng(seed)
    return [episode(rng, int(rng.integers(1, 13)), terminated=bool(rng.integers(2))) for _ in range(count)]


def record_random(dataset: str, env_id: str, episodes: int, steps: int, seed: int = 0, **kwargs: Any) -> Path:
    """Record `episodes` episodes of random actions, of at most `steps` steps, from an environment, and return the data set's folder."""
    import copy

    import gymnasium_robotics

    gymnasium.register_envs(gymnasium_robotics)
    spec = copy.deepcopy(gymnasium.spec(env_id))
    spec.max_episode_steps = steps
    spec.kwargs.update(kwargs)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        env = gymnasium.make(spec, disable_env_checker=True)
        env.action_space.seed(seed)
        recorded = [_play(env, seed + k) for k in range(episodes)]
        env.close()
    import minari
    from minari.data_collector import EpisodeBuffer

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        minari.create_dataset_from_buffers(dataset, [EpisodeBuffer(id=i, **e) for i, e in enumerate(recorded)], env=spec, eval_env=spec)
    return Path(os.environ["MINARI_DATASETS_PATH"]) / dataset


def _play(env: Any, seed: int) -> dict[str, Any]:
    observation, _ = env.reset(seed=seed)
    observations, rows, ended = [observation], [], False
    while not ended:
        action = env.action_space.sample()
        observation, reward, terminated, truncated, _ = env.step(action)
        observations.append(observation)
        rows.append((action, reward, terminated, truncated))
        ended = terminated or truncated
    actions, rewards, terminations, truncations = (np.asarray(column) for column in zip(*rows, strict=True))
    return {
        "observations": _stack(observations), "actions": actions, "rewards": rewards.astype(np.float64), "terminations": terminations,
        "truncations": truncations,
    }  # fmt: skip


def _stack(rows: Sequence[Any]) -> Any:
    """Rows of nested dicts as a nested dict of arrays."""
    if isinstance(rows[0], dict):
        return {k: _stack([row[k] for row in rows]) for k in rows[0]}
    return np.asarray(rows)
