"""The training loop of every population: updates in chunks, and saves between two chunks."""

from __future__ import annotations

import time
from abc import ABC, abstractmethod

from algos.base import Algo, Metrics
from bench.training import signals
from bench.training.progress import Reporter

MAX_CHUNK = 50  # updates between two looks at the clock and at signals
MAX_SECONDS = 2.0  # of a chunk: slow updates make smaller chunks


class Loop(ABC):
    """Trains `algo`. Saves every `checkpoint_minutes`, and when a signal asks the process to exit.

    Results depend neither on the size of the chunks nor on saves: every random number is a function of (seed, update).

    done: updates so far. metrics: of the last update.
    """

    stage: str  # its name on the progress bar

    def __init__(self, algo: Algo, checkpoint_minutes: float, reporter: Reporter) -> None:
        self.algo, self.reporter = algo, reporter
        self.done = 0
        self.metrics: Metrics = {}
        self._seconds_between_saves = 60 * checkpoint_minutes
        self._saved_at = time.monotonic()

    @abstractmethod
    def write_checkpoint(self) -> None:
        """Write everything that a restart needs."""

    def after_chunk(self) -> None:  # noqa: B027 (optional)
        """Work between two chunks; none by default."""

    def save_at_signal(self) -> None:
        """Save soon: the process is asked to exit."""
        self.save()

    def save(self) -> None:
        self.write_checkpoint()
        self._saved_at = time.monotonic()

    def train(self, stop: int) -> None:
        """Do updates up to, not including, number `stop`."""
        first, started, chunk = self.done, time.perf_counter(), 1
        while self.done < stop:
            signals.exit_if_signalled(self.save_at_signal)
            if time.monotonic() - self._saved_at >= self._seconds_between_saves:
                self.save()
            chunk_started, end = time.perf_counter(), min(self.done + chunk, stop)
            self.metrics = self.algo.train(self.done, end)
            self.done = end
            chunk = _next_size(chunk, time.perf_counter() - chunk_started)
            self.after_chunk()
            self.reporter.update(self.done, f"{self.stage}, {(self.done - first) / (time.perf_counter() - started):.0f}/s")


def _next_size(chunk: int, seconds: float) -> int:
    """Updates of the next chunk, after one of `chunk` updates took `seconds`."""
    return max(1, min(MAX_CHUNK, 2 * chunk if seconds < MAX_SECONDS / 2 else int(chunk * MAX_SECONDS / seconds)))
