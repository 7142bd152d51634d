"""Updates per second of something at work."""

from __future__ import annotations

import time

import torch

from bench.speed.workload import Work

CHUNK_SECONDS = 0.1  # of work between two looks at the clock, about


class Stopwatch:
    """Does `after` updates of `work`, then goes on with it for given times and says how fast it went.

    The device is waited for before each look at the clock.
    """

    def __init__(self, work: Work, device: str, after: int = 0) -> None:
        self.work, self.waits = work, device != "cpu"
        self.next, self.chunk = after + -after % work.cycle, work.cycle
        if after:
            work.train(0, self.next)

    def _timed(self, updates: int) -> float:
        """Seconds for the next `updates` updates."""
        if self.waits:
            torch.cuda.synchronize()
        started = time.perf_counter()
        self.work.train(self.next, self.next + updates)
        if self.waits:
            torch.cuda.synchronize()
        self.next += updates
        return time.perf_counter() - started

    def rate(self, seconds: float) -> float:
        """Updates per second over about `seconds`. A rare long update counts as often as it comes, whether or not the time held one."""
        rare = self.work.rare
        if rare:
            self.next += -self.next % rare
        started, long_ones, others, done, count = time.perf_counter(), 0.0, 0.0, 0, 0
        while not done or time.perf_counter() - started < seconds:
            if rare and self.next % rare == 0:
                long_ones, count = long_ones + self._timed(1), count + 1
                continue
            updates = min(self.chunk, rare - self.next % rare) if rare else self.chunk
            took = self._timed(updates)
            others, done = others + took, done + updates
            if took < CHUNK_SECONDS / 2 and updates == self.chunk:
                self.chunk *= 2
        each = others / done
        return rare / (long_ones / count + (rare - 1) * each) if rare else 1 / each
