"""The session of this process: data, environments and sweep, shared by the jobs that Hydra runs here one after another."""

from __future__ import annotations

import time
from collections.abc import Iterable, Sequence
from functools import cache
from tempfile import TemporaryDirectory

from omegaconf import DictConfig

from bench.config.schema import Config
from bench.launch.preflight import preflight
from bench.training.progress import JobCounter
from bench.training.run import train_runs
from bench.training.shared import Shared


class Session:
    """State of the jobs of this process.

    shared: data sets and environments. sweep: the sweep in progress. jobs: the counter of its jobs. locked: runs that another process
    trains.
    """

    def __init__(self) -> None:
        self.shared = Shared()
        self.sweep: DictConfig | None = None
        self.jobs: JobCounter | None = None
        self.locked: list[Config] = []
        self._scratch: TemporaryDirectory[str] | None = None

    def start_sweep(self, sweep: DictConfig, jobs: int | None) -> None:
        """Begin a sweep of `jobs` jobs, None if the number is not known."""
        self.sweep, self.jobs = sweep, None if jobs is None else JobCounter(jobs)

    def preflight(self, configs: Iterable[Config], here: bool = True) -> None:
        """Check the runs and get their data (`preflight`), which counts as recording in the seconds of the first run."""
        started = time.perf_counter()
        preflight(configs, here)
        self.shared.seconds["recording"] = self.shared.seconds.get("recording", 0.0) + time.perf_counter() - started

    def train(self, configs: Sequence[Config]) -> None:
        """Train `configs`. In a sweep, runs that another process has locked are left for `end_sweep`; without one, wait for them."""
        self.locked += train_runs(configs, self.shared, wait=self.jobs is None, jobs=self.jobs)

    def end_sweep(self) -> None:
        """Wait for the locked runs, and train what the other process left unfinished."""
        self.jobs = None
        while self.locked:
            train_runs([self.locked.pop(0)], self.shared)
        self.sweep = None

    def scratch(self) -> str:
        """A folder that is removed at the end of the session."""
        if self._scratch is None:
            self._scratch = TemporaryDirectory(prefix="iwsft-bench-")
        return self._scratch.name

    def close(self) -> None:
        """Close the environments."""
        self.shared.close()
        if self._scratch is not None:
            self._scratch.cleanup()


@cache
def session() -> Session:
    """The session of this process."""
    return Session()
