"""Environments that learners collect steps in: one for each member, stepped one step at a time."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import suppress
from typing import NamedTuple

import numpy as np
from gymnasium.envs.registration import EnvSpec

from envs.data.environments import make
from envs.data.horizon import limit_of
from envs.data.spaces import Flattener
from envs.evaluation.stepper import with_limit
from envs.evaluation.threads import reported

COLLECTION_STREAM = 0xC011


class Collected(NamedTuple):
    """A step of every environment: next observations [P, obs], rewards, terminated and truncated [P]."""

    observations: np.ndarray
    rewards: np.ndarray
    terminated: np.ndarray
    truncated: np.ndarray


def collection_seed(seed: int, episode: int) -> int:
    """The environment seed of episode number `episode` that the member with `seed` collects."""
    return int(np.random.SeedSequence([seed, COLLECTION_STREAM, episode]).generate_state(1)[0])


def longest_episode(env_spec: str) -> int:
    """Steps after which an episode of `env_spec` (Gymnasium's JSON) ends at the latest."""
    limit = limit_of(EnvSpec.from_json(with_limit(env_spec)))
    assert limit is not None
    return limit


class Collector:
    """`count` environments of `env_spec` (Gymnasium's JSON). Raises DataError if one fails."""

    def __init__(self, env_spec: str, count: int) -> None:
        spec = with_limit(env_spec)
        with reported():
            self.environments = [make(spec) for _ in range(count)]
            self.flatten = Flattener(self.environments[0].observation_space)

    def begin(self, i: int, seed: int) -> np.ndarray:
        """Begin an episode in environment `i`; its first observation [obs] float32."""
        with reported():
            return np.asarray(self.flatten(self.environments[i].reset(seed=seed)[0]), np.float32)

    def replay(self, i: int, seed: int, actions: Sequence[np.ndarray]) -> np.ndarray:
        """Begin an episode in environment `i` and take `actions` (in its units); the observation [obs] float32 after them."""
        observation = self.begin(i, seed)
        for action in actions:
            with reported():
                observation = np.asarray(self.flatten(self.environments[i].step(action)[0]), np.float32)
        return observation

    def step(self, actions: np.ndarray, running: np.ndarray) -> Collected:
        """Step the environments where `running` [P] is True with their rows of `actions` (in their units); the others' rows are 0."""
        count = len(self.environments)
        found = Collected(np.zeros((count, self.flatten.width), np.float32), np.zeros(count, np.float32), *np.zeros((2, count), bool))
        for i in np.flatnonzero(running).tolist():
            with reported():
                observation, reward, terminated, truncated, _ = self.environments[i].step(actions[i])
                found.observations[i], found.rewards[i] = self.flatten(observation), float(reward)
                found.terminated[i], found.truncated[i] = terminated, truncated
        return found

    def close(self) -> None:
        """Close the environments; their errors no longer matter."""
        for env in self.environments:
            with suppress(Exception):
                env.close()
