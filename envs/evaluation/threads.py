"""Environments stepped in threads of this process: physics side by side, then observations, rewards and terminations of all at once."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np

from envs.errors import DataError
from envs.evaluation.crew import Crew
from envs.evaluation.episodes import Act, Moments, Returns
from envs.evaluation.locomotion import Locomotion
from envs.evaluation.physics import Physics
from envs.evaluation.worker import message_of


class Threads:
    """Environments equal to `env`, which `gymnasium.make` made, of task `task`, stepped by `size` threads, the calling one included."""

    def __init__(self, env: Any, task: type[Locomotion], size: int) -> None:
        self.env, self.size = env, size
        self.task = task(env.unwrapped)
        self.limit: int = env.spec.max_episode_steps
        self.closed = False
        self._physics: Physics | None = None

    def physics(self, count: int) -> Physics:
        """Simulations for `count` environments; those of the last call, if they are as many."""
        if self._physics is None or len(self._physics.simulations) != count:
            self._physics = Physics(self.env, count, self.task.names, self.task.contact_forces)
        return self._physics

    def run(self, act: Act, seeds: np.ndarray, on_step: Callable[[], None]) -> Returns:
        """Play `seeds` as `envs.evaluation.rollout.Evaluator.run` says. Raises DataError after `close`."""
        count, episodes = seeds.shape
        physics, task = self.physics(count), self.task
        found = Returns(np.zeros(seeds.shape), np.zeros(seeds.shape, np.int64), np.full(seeds.shape, np.nan))
        observations = np.zeros((count, *self.env.observation_space.shape), np.float32)
        rows, episode = np.arange(count), np.zeros(count, np.int64)
        totals, steps, playing = np.zeros(count), np.zeros(count, np.int64), np.ones(count, bool)

        def start(i: int) -> None:
            """Begin the next episode of environment `i`, if there is one."""
            totals[i], steps[i], playing[i] = 0.0, 0, episode[i] < episodes
            if playing[i]:
                with reported():
                    observations[i] = physics.reset(i, int(seeds[i, episode[i]]))

        with Crew(min(self.size, count)) as crew:
            for i in range(count):
                start(i)
            running = np.flatnonzero(playing).tolist()
            on_step()
            while running:
                current = seeds[rows, np.minimum(episode, episodes - 1)]
                actions = act(observations, Moments(current, steps.copy()))
                if self.closed:
                    raise DataError("the environments were closed during an evaluation")
                before = task.position(physics.arrays)
                with reported():
                    physics.step(crew, running, actions)
                steps += playing
                with np.errstate(all="ignore"):  # rows of finished environments hold their last state
                    totals += task.rewards(before, physics.arrays, actions)
                    ended = playing & (task.terminated(physics.arrays) | (steps >= self.limit))
                task.observe(physics.arrays, observations)
                for i in np.flatnonzero(ended).tolist():
                    found.returns[i, episode[i]], found.lengths[i, episode[i]] = totals[i], steps[i]
                    episode[i] += 1
                    start(i)
                if len(running) < count or ended.any():
                    observations[~playing] = 0
                    running = np.flatnonzero(playing).tolist()
                on_step()
        return found

    def close(self) -> None:
        """End a `run` of another thread after its present step, and close the environment."""
        self.closed = True
        self.env.close()


@contextmanager
def reported() -> Iterator[None]:
    """Report an error of an environment as a DataError."""
    try:
        yield
    except Exception as error:
        raise DataError(f"an environment failed: {message_of(error)}") from error
