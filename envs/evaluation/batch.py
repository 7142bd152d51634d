"""Environments that threads of this process step together: by formulas for all at once, or each by Gymnasium's own code."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from functools import partial
from typing import Any, NamedTuple, Protocol

import numpy as np

from envs.data.environments import make
from envs.data.spaces import Flattener
from envs.evaluation.crew import Crew
from envs.evaluation.locomotion import Locomotion
from envs.evaluation.physics import Physics
from envs.evaluation.worker import success_of


class Step(NamedTuple):
    """Reward (float64), end and success (1, 0 or NaN) of a step, each [environments]; entries of environments not stepped mean nothing."""

    rewards: np.ndarray
    ended: np.ndarray
    successes: np.ndarray


class Batch(Protocol):
    """Environments of one specification. width: columns of an observation."""

    width: int

    def reset(self, i: int, seed: int) -> np.ndarray:
        """Begin an episode in environment `i`; its first observation [width]."""

    def step(self, crew: Crew, running: Sequence[int], actions: np.ndarray, observations: np.ndarray) -> Step:
        """Step the environments `running` with their rows of `actions`; write their `observations` [environments, width] float32."""


class Formulas:
    """`count` environments equal to `env`, which `gymnasium.make` made, whose observations, rewards and ends are those of `task`."""

    def __init__(self, env: Any, task: type[Locomotion], count: int) -> None:
        self.task, self.limit = task(env.unwrapped), int(env.spec.max_episode_steps)
        self.physics = Physics(env, count, self.task.names, self.task.contact_forces)
        self.width = int(env.observation_space.shape[0])
        self.steps, self.successes = np.zeros(count, np.int64), np.full(count, np.nan)

    def reset(self, i: int, seed: int) -> np.ndarray:
        self.steps[i] = 0
        return self.physics.reset(i, seed)

    def step(self, crew: Crew, running: Sequence[int], actions: np.ndarray, observations: np.ndarray) -> Step:
        arrays = self.physics.arrays
        before = self.task.position(arrays)
        self.physics.step(crew, running, actions)
        self.steps += 1
        with np.errstate(all="ignore"):  # environments that are not stepped hold their last state
            rewards = self.task.rewards(before, arrays, actions)
            ended = self.task.terminated(arrays) | (self.steps >= self.limit)
        self.task.observe(arrays, observations)
        return Step(rewards, ended, self.successes)


class OneByOne:
    """`count` environments of `env_spec` (Gymnasium's JSON), each stepped by its own code: threads overlap in MuJoCo's physics alone."""

    def __init__(self, env_spec: str, count: int) -> None:
        self.environments = [make(env_spec) for _ in range(count)]
        self.flatten = Flattener(self.environments[0].observation_space)
        self.width = self.flatten.width

    def reset(self, i: int, seed: int) -> np.ndarray:
        return self.flatten(self.environments[i].reset(seed=seed)[0])

    def step(self, crew: Crew, running: Sequence[int], actions: np.ndarray, observations: np.ndarray) -> Step:
        count = len(self.environments)
        found = Step(np.zeros(count), np.zeros(count, bool), np.full(count, np.nan))
        crew.do(partial(self._step, actions, observations, found), running)
        return found

    def _step(self, actions: np.ndarray, observations: np.ndarray, found: Step, pieces: Iterator[int]) -> None:
        for i in pieces:
            observation, reward, terminated, truncated, info = self.environments[i].step(actions[i])
            observations[i] = self.flatten(observation)
            found.rewards[i], found.ended[i], found.successes[i] = float(reward), terminated or truncated, success_of(info)
