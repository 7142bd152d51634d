"""Environments stepped in threads of this process, whose physics run side by side."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager

import numpy as np

from envs.errors import DataError
from envs.evaluation.batch import Batch
from envs.evaluation.crew import Crew
from envs.evaluation.episodes import Act, Moments, Returns
from envs.evaluation.worker import message_of


class Threads:
    """Environments stepped by `size` threads, the calling one included; `open_batch` opens a number of them."""

    def __init__(self, open_batch: Callable[[int], Batch], size: int) -> None:
        self.open_batch, self.size = open_batch, size
        self.closed = False
        self._batch: tuple[int, Batch] | None = None

    def batch(self, count: int) -> Batch:
        """`count` environments; those of the last call, if they are as many."""
        if self._batch is None or self._batch[0] != count:
            self._batch = count, self.open_batch(count)
        return self._batch[1]

    def run(self, act: Act, seeds: np.ndarray, on_step: Callable[[], None]) -> Returns:
        """Play `seeds` as `envs.evaluation.rollout.Evaluator.run` says. Raises DataError after `close`."""
        count, episodes = seeds.shape
        batch = self.batch(count)
        found = Returns(np.zeros(seeds.shape), np.zeros(seeds.shape, np.int64), np.zeros(seeds.shape))
        observations = np.zeros((count, batch.width), np.float32)
        rows, episode = np.arange(count), np.zeros(count, np.int64)
        totals, steps, successes = np.zeros(count), np.zeros(count, np.int64), np.zeros(count)
        playing = np.ones(count, bool)

        def start(i: int) -> None:
            """Begin the next episode of environment `i`, if there is one."""
            totals[i], steps[i], successes[i], playing[i] = 0.0, 0, np.nan, episode[i] < episodes
            if playing[i]:
                with reported():
                    observations[i] = batch.reset(i, int(seeds[i, episode[i]]))

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
                with reported():
                    step = batch.step(crew, running, actions, observations)
                steps += playing
                totals += step.rewards
                np.fmax(successes, step.successes, out=successes)
                ended = np.flatnonzero(playing & step.ended).tolist()
                for i in ended:
                    at = i, episode[i]
                    found.returns[at], found.lengths[at], found.successes[at] = totals[i], steps[i], successes[i]
                    episode[i] += 1
                    start(i)
                if ended or len(running) < count:
                    observations[~playing] = 0
                    running = np.flatnonzero(playing).tolist()
                on_step()
        return found

    def close(self) -> None:
        """Drop the environments; a `run` of another thread ends after its present step."""
        self.closed, self._batch = True, None


@contextmanager
def reported() -> Iterator[None]:
    """Report an error of an environment as a DataError."""
    try:
        yield
    except Exception as error:
        raise DataError(f"an environment failed: {message_of(error)}") from error
