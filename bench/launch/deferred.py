"""Runs that other processes were doing when a sweep came to them: the sweep goes on, and comes back to them at its end."""

from __future__ import annotations

from collections.abc import Sequence

from bench.config.schema import Config
from bench.training import progress
from bench.training.run import train_runs
from bench.training.shared import Shared

shared = Shared()  # of all jobs that Hydra runs in this process
_left: list[Config] = []


def run_or_defer(configs: Sequence[Config]) -> None:
    """Do `configs`. Within a sweep of this process, what others are doing waits for `run_deferred`; elsewhere, it is waited for at once."""
    _left.extend(train_runs(configs, shared, wait="total" not in progress.job_numbers))


def run_deferred() -> None:
    """Wait for those that were put off; what the others left undone is done."""
    progress.job_numbers.clear()  # they had their numbers
    while _left:
        train_runs([_left.pop(0)], shared)
