"""Engines in tests: a recorder without a GPU, and marks of tests that compile."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from types import SimpleNamespace
from typing import Any

import pytest

from algos.base import Metrics


def record_without_gpu(update: Callable[[], Metrics]) -> tuple[Any, Metrics]:
    """A stand-in for record_cuda without a GPU: every replay reads and writes the tensors of the first run."""
    for _ in range(3):
        update()
    metrics = {name: value.clone() for name, value in update().items()}

    def replay() -> None:
        for name, value in update().items():
            metrics[name].copy_(value)

    return SimpleNamespace(replay=replay), metrics


COMPILES = [
    pytest.mark.skipif(shutil.which("g++") is None, reason="torch.compile needs a C++ compiler on the CPU"),
    pytest.mark.filterwarnings("ignore"),
]


def compiles(test: Any) -> Any:
    for mark in COMPILES:
        test = mark(test)
    return test
