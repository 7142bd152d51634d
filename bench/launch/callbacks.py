"""What happens around runs and sweeps, as Hydra callbacks: whatever launches the jobs, these frame them.

Hydra turns an exception in a callback into a warning; a mistake therefore leaves through `stop`.
"""

from __future__ import annotations

import sys
from contextlib import suppress
from pathlib import Path
from typing import Any

from hydra._internal.core_plugins.basic_sweeper import BasicSweeper
from hydra.core.global_hydra import GlobalHydra
from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.core.override_parser.types import Override
from hydra.experimental.callback import Callback
from omegaconf import DictConfig

from bench.config.mistakes import MISTAKES, exit_on_error
from bench.config.redact import redact
from bench.launch import launchers as launching
from bench.launch import tuning
from bench.launch.deferred import run_deferred
from bench.launch.jobs import composed
from bench.launch.preflight import preflight
from bench.storage.files import write_atomic
from bench.training import progress


class Preflight(Callback):
    """Check every job of a sweep before the first one starts: a typing error in job 7 costs no hour."""

    def on_run_start(self, config: DictConfig, **kwargs: Any) -> None:
        with exit_on_error():
            launching.check_single(config)

    def on_multirun_start(self, config: DictConfig, **kwargs: Any) -> None:
        with exit_on_error():
            launching.check_extras(config)
            here = not launching.on_other_machines(config.hydra)
            if tuning.is_tuning(config.hydra):
                tuning.quiet()
                runs = [run for job in tuning.trials_ahead(overrides(config)) for run in composed(config, job)]
                total, what = config.hydra.sweeper.n_trials, "trials, their ranges"
            elif config.hydra.sweeper._target_.endswith(".BasicSweeper"):
                runs = [run for job in grid(config) for run in composed(config, job)]
                total, what = len(runs), "runs,"
            else:
                return  # what it will ask for is not known in advance
            print(f"suite {config.suite}: {total} {what} checked before the first one starts", file=sys.stderr, flush=True)
            preflight(runs, here)
            if logs := config.hydra.launcher.get("submitit_folder"):
                print(f"logs of the jobs: {logs.replace('%j', 'JOB')}", file=sys.stderr, flush=True)
        progress.job_numbers["total"] = total


def overrides(config: DictConfig) -> list[Override]:
    """What the command and the suite ask for, parsed; sweeps are still whole."""
    loader = GlobalHydra.instance().config_loader()
    arguments = [*(f"{k}={v}" for k, v in (config.hydra.sweeper.params or {}).items()), *config.hydra.overrides.task]
    return OverridesParser.create(config_loader=loader).parse_overrides(arguments)


def grid(config: DictConfig) -> list[list[str]]:
    """The overrides of every job of the basic sweeper."""
    return [job for batch in BasicSweeper.split_arguments(overrides(config), None) for job in batch]


class Tables(Callback):
    """Rebuild the suite's tables, figures and report page at the end, and print the table that a person reads."""

    open_sweep: DictConfig | None = None
    """The sweep that has begun and not ended: where jobs failed elsewhere, Hydra calls no end."""

    def on_multirun_start(self, config: DictConfig, **kwargs: Any) -> None:
        Tables.open_sweep = config

    def on_run_end(self, config: DictConfig, **kwargs: Any) -> None:
        with exit_on_error():
            _rebuild(config)

    def on_multirun_end(self, config: DictConfig, **kwargs: Any) -> None:
        Tables.open_sweep = None
        with exit_on_error():
            run_deferred()
            _rebuild(config)
            if tuning.is_tuning(config.hydra):
                print(f"\n{tuning.advice(config)}", end="")

    @classmethod
    def after_failed_jobs(cls) -> None:
        """The tables of a sweep of which jobs failed: the others are not to be without."""
        if cls.open_sweep is not None:
            with suppress(*MISTAKES):  # no run is finished, or one is damaged
                _rebuild(cls.open_sweep)


def _rebuild(config: DictConfig) -> None:
    from bench.report.suite import TABLES, rebuild  # imports pandas, which delays the start of a command
    from bench.results.protocol import TableOptions

    folder = Path(config.results_dir) / config.suite
    print(rebuild(folder, TableOptions(config.report.mixed, config.report.published)), end="")
    files = [name for name in ("report.html", *TABLES, "figures/") if (folder / name).exists()]
    print(f"\nwritten to {folder}: {', '.join(files)}")


class Secrets(Callback):
    """Hydra keeps a sweep's whole command line, keys that were set there included: they are blotted out before a job starts."""

    def on_job_start(self, config: DictConfig, **kwargs: Any) -> None:
        self._blot(config)

    def on_multirun_end(self, config: DictConfig, **kwargs: Any) -> None:
        self._blot(config)

    def _blot(self, config: DictConfig) -> None:
        path = Path(config.hydra.sweep.dir) / "multirun.yaml"
        with exit_on_error():
            if path.is_file() and (text := path.read_text()) != (clean := redact(text)):
                write_atomic(path, clean)
