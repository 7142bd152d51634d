"""Checks before the first job starts: devices, folders, optional packages, data sets."""

from __future__ import annotations

import os
from collections.abc import Iterable
from pathlib import Path

from bench.config.schema import Config
from bench.errors import RunError
from bench.loggers import check_loggers
from bench.training.device import device_of
from envs.data.renderer import check_renderer
from envs.readers.obtain import ensure


def preflight(configs: Iterable[Config], here: bool = True) -> None:
    """Check the runs, then download or record the data sets that are missing. here: the runs are trained on this machine.

    Raises ConfigError, RunError or DataError.
    """
    configs = list(configs)
    if here:
        check_renderer()
    for config in configs:
        if here:
            device_of(config.device)
            check_loggers(config.logger)
            if config.env_choice.replaces and not config.env_choice.without:
                config.env_choice.find()
        _check_writable(Path(config.results_dir), Path(config.results_dir) / config.suite)
    for dataset in dict.fromkeys(d for config in configs for d in (config.dataset, config.pi_ref.dataset) if d):
        ensure(dataset)


def _check_writable(folder: Path, suite: Path) -> None:
    """Raise RunError unless `folder` is writable, or can be created. A `suite` that has runs may be read only: they may be finished."""
    existing = next(p for p in [folder.absolute(), *folder.absolute().parents] if p.exists() or p.is_symlink())
    if not existing.exists():
        missing = f"is a link to {existing.readlink()}, which does not exist"
        raise RunError(f"results_dir = {folder}: {existing} {missing}; make that folder, or remove the link")
    if not existing.is_dir():
        raise RunError(f"results_dir = {folder}: {existing} is not a folder; choose another with results_dir=PATH")
    if not os.access(existing, os.W_OK | os.X_OK) and not (suite / "runs").is_dir():
        raise RunError(f"results_dir = {folder}: {existing} is not writable; choose another with results_dir=PATH")
