"""The default settings of methods, composed in a process that ends: it loads torch and Hydra, 200 MB that the page does not need."""

from __future__ import annotations

import multiprocessing
import sys
from collections.abc import Collection
from concurrent.futures import ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from typing import Any

from envs.processes import serve_parent, signals_blocked


def defaults_of(algos: Collection[str]) -> dict[str, dict[str, Any]]:
    """Every key of `algo=NAME` by dotted name (`bench.config.compose.defaults`), for each of `algos`; empty for a method unknown here."""
    names = sorted(algos)
    if "torch" in sys.modules:
        return dict(zip(names, _compose(names), strict=True))
    with ProcessPoolExecutor(1, multiprocessing.get_context("spawn"), serve_parent) as process:
        with signals_blocked():
            composed = process.submit(_compose, names)
        try:
            found = composed.result()
        except BrokenProcessPool:  # such as a command whose file does more than define functions
            found = _compose(names)
    return dict(zip(names, found, strict=True))


def _compose(algos: Collection[str]) -> list[dict[str, Any]]:
    from bench.config.compose import defaults  # loads torch

    return [defaults(algo) for algo in algos]
