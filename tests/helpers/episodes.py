"""Small random logged data, in memory and as Minari data sets."""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from typing import Any

import numpy as np

from envs.data.builder import Builder
from envs.data.trajectories import Trajectories

PENDULUM = "test/pendulum/random-v0"  # written by the fixture `pendulum_data` by default
RawEpisode = tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray, np.ndarray]


def random_episodes(count: int, obs: int = 5, act: int = 2, seed: int = 0, longest: int = 12) -> list[RawEpisode]:
    """Ragged episodes whose every number is different; some terminate, some are truncated, some do both."""
    rng = np.random.default_rng(seed)
    episodes = []
    for _ in range(count):
        steps = int(rng.integers(1, longest + 1))
        terminated, truncated = np.zeros(steps, bool), np.zeros(steps, bool)
        kind = rng.integers(3)
        terminated[-1], truncated[-1] = kind != 1, kind != 0
        episodes.append(
            (rng.normal(size=(steps + 1, obs)), rng.uniform(-0.9, 0.9, (steps, act)), rng.normal(size=steps), terminated, truncated)
        )
    return episodes


def from_episodes(episodes: Sequence[tuple], source: str = "data") -> Trajectories:
    """Join episodes (observations [T + 1, obs], actions [T, act], rewards [T], terminated [T], truncated [T])."""
    widths = [np.shape(a)[1] if np.ndim(a) == 2 else 0 for a in episodes[0][:2]] if episodes else [0, 0]
    builder = Builder(source, [len(e[2]) for e in episodes], *widths)
    for episode in episodes:
        builder.add(*episode)
    return builder.finish()


def write_minari(dataset: str, episodes: list[RawEpisode], env_id: str | None = "InvertedPendulum-v5", **metadata: Any) -> None:
    """Write `episodes` as Minari data set `dataset` into Minari's root."""
    import gymnasium
    import minari
    from minari.data_collector import EpisodeBuffer

    buffers = [
        EpisodeBuffer(id=i, observations=o, actions=a, rewards=r, terminations=te, truncations=tr)
        for i, (o, a, r, te, tr) in enumerate(episodes)
    ]
    spaces = {
        "observation_space": gymnasium.spaces.Box(-np.inf, np.inf, episodes[0][0].shape[1:], np.float64),
        "action_space": gymnasium.spaces.Box(-3, 3, episodes[0][1].shape[1:], np.float32),
    }
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        data = minari.create_dataset_from_buffers(dataset, buffers, env=env_id, **spaces)
    if metadata:
        data.storage.update_metadata(metadata)


def assert_lined_up(data: Trajectories, episodes: list[RawEpisode]) -> None:
    """Assert that every (obs, action, reward, next obs, flags) of EVERY episode is at its place."""
    assert data.num_episodes == len(episodes)
    for e, (obs, actions, rewards, terminated, truncated) in enumerate(episodes):
        steps = slice(int(data.offsets[e]), int(data.offsets[e + 1]))
        expected = (obs[:-1], actions, rewards, obs[1:], terminated, truncated)
        found = (data.observations, data.actions, data.rewards, data.next_observations, data.terminated, data.truncated)
        for a, b in zip(found, expected, strict=True):
            np.testing.assert_array_equal(a[steps].numpy(), np.asarray(b, a.numpy().dtype))
