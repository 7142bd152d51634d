"""The default settings of methods, as Hydra composes them: kept in a file, because that takes torch, 200 MB and seconds.

What is kept holds for the sources that it was composed from. Anything else is composed in a process that ends.
"""

from __future__ import annotations

import hashlib
import json
import multiprocessing
import sys
from collections.abc import Collection, Sequence
from concurrent.futures import ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from contextlib import suppress
from importlib.metadata import version
from pathlib import Path
from typing import Any

from bench.config.method_defaults import is_method
from envs.files import user_cache, write_atomic
from envs.processes import may_spawn, serve_parent, signals_blocked

SOURCES = (("algos", "*.py"), ("bench/config", "*.py"), ("conf", "*.yaml"))
Defaults = dict[str, dict[str, Any]]


def defaults_of(algos: Collection[str]) -> Defaults:
    """Every key of `algo=NAME` by dotted name (`bench.config.compose.defaults`), for each of `algos`; empty for a method unknown here."""
    found = _kept()
    if missing := sorted({name for name in algos if is_method(name)} - set(found)):
        found |= dict(zip(missing, _composed(missing), strict=True))
        with suppress(OSError):  # a disk that is full or read only
            _file().parent.mkdir(parents=True, exist_ok=True)
            write_atomic(_file(), json.dumps({"sources": _sources(), "defaults": found}))
    return {name: found.get(name, {}) for name in algos}


def _file() -> Path:
    return user_cache() / "method_defaults.json"


def _kept() -> Defaults:
    """The defaults that were composed before from the present sources."""
    with suppress(OSError, ValueError, KeyError, TypeError, RecursionError):
        content = json.loads(_file().read_text())
        if content["sources"] == _sources():
            return dict(content["defaults"])
    return {}


def _sources() -> str:
    """A digest of all that the defaults are composed from."""
    root = Path(__file__).parents[3]
    files = [path for folder, pattern in SOURCES for path in sorted((root / folder).rglob(pattern))]
    texts = [f"{path.relative_to(root)}\n{path.read_text()}" for path in files]
    return hashlib.sha256("\0".join([version("hydra-core"), version("omegaconf"), *texts]).encode()).hexdigest()


def _composed(algos: Sequence[str]) -> list[dict[str, Any]]:
    """The defaults of each of `algos`, composed here if torch is loaded already, else in a process of its own where that may be."""
    if "torch" in sys.modules or not may_spawn():
        return _compose(algos)
    with ProcessPoolExecutor(1, multiprocessing.get_context("spawn"), serve_parent) as process:
        with signals_blocked():
            composed = process.submit(_compose, algos)
        try:
            return composed.result()
        except BrokenProcessPool:  # such as a command whose file does more than define functions
            return _compose(algos)


def _compose(algos: Sequence[str]) -> list[dict[str, Any]]:
    from bench.config.compose import defaults  # loads torch

    return [defaults(algo) for algo in algos]
