"""Everything that can be found wrong before anything starts."""

from __future__ import annotations

import os
from collections.abc import Iterable
from pathlib import Path

from bench.config.schema import Config
from bench.errors import RunError
from bench.training.device import device_of
from envs.readers.obtain import ensure


def preflight(configs: Iterable[Config], here: bool = True) -> None:
    """Check devices (if the runs are done `here`) and folders, then make sure that all data sets are there.

    Raises ConfigError, RunError or DataError.
    """
    configs = list(configs)
    for config in configs:
        if here:
            device_of(config.device)
        _check_writable(Path(config.results_dir))
    for dataset in dict.fromkeys(d for config in configs for d in (config.dataset, config.pi_ref.dataset) if d):
        ensure(dataset)


def _check_writable(folder: Path) -> None:
    """Raise RunError unless `folder` can be written, or made in a parent that can."""
    existing = next(p for p in [folder.absolute(), *folder.absolute().parents] if p.exists())
    if not existing.is_dir():
        raise RunError(f"results_dir = {folder}: {existing} is not a folder; choose another with results_dir=PATH")
    if not os.access(existing, os.W_OK | os.X_OK):
        raise RunError(f"results_dir = {folder}: {existing} is not writable; choose another with results_dir=PATH")
