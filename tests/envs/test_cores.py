"""The number of cores, with and without the system's call for it."""

from __future__ import annotations

import os

import pytest

from bench.training.device import cores
from envs.cores import available_cores


def test_cores_are_those_that_the_process_may_use(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "sched_getaffinity", lambda pid: {0, 4, 5}, raising=False)
    monkeypatch.delenv("OMP_NUM_THREADS", raising=False)
    assert (available_cores(), cores()) == (3, 3)
    monkeypatch.setenv("OMP_NUM_THREADS", "2")
    assert (available_cores(), cores()) == (3, 2)


@pytest.mark.parametrize(("counted", "expected"), [(8, 8), (None, 1)])
def test_a_system_without_that_call_counts_all_cores(monkeypatch: pytest.MonkeyPatch, counted: int | None, expected: int) -> None:
    """macOS has no sched_getaffinity."""
    monkeypatch.delattr(os, "sched_getaffinity", raising=False)
    monkeypatch.setattr(os, "cpu_count", lambda: counted)
    monkeypatch.delenv("OMP_NUM_THREADS", raising=False)
    assert (available_cores(), cores()) == (expected, expected)
