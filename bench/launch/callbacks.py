"""Hydra callbacks around runs and sweeps of every launcher: checks before, tables after, no secrets in Hydra's files.

Hydra turns an exception in a callback into a warning, so mistakes exit through `exit_on_error`.
"""

from __future__ import annotations

import os
import sys
from pathlib import Path
from typing import Any

from hydra.core.global_hydra import GlobalHydra
from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.core.override_parser.types import Override
from hydra.core.utils import JobReturn, JobStatus
from hydra.experimental.callback import Callback
from omegaconf import DictConfig, read_write

from bench.config.extras import REPORT, missing_package
from bench.config.mistakes import exit_on_error
from bench.config.redact import redact
from bench.launch import launchers, tuning
from bench.launch.jobs import runs_of
from bench.launch.session import session
from bench.launch.sweep import split
from bench.launch.tables import write_tables


class Preflight(Callback):
    """Check every job of a sweep before the first one starts: a typing error in job 7 is found at once."""

    def on_run_start(self, config: DictConfig, **kwargs: Any) -> None:
        with exit_on_error():
            launchers.check_single(config)
            tuning.check_objective(config)
            _note_missing_report()

    def on_multirun_start(self, config: DictConfig, **kwargs: Any) -> None:
        with exit_on_error():
            launchers.check_extras(config)
            tuning.check_objective(config)
            _use_writable_folder(config)
            session().start_sweep(config, self._check(config))
            _note_missing_report()

    def _check(self, config: DictConfig) -> int | None:
        """Check the jobs, and return their number; None for a sweeper whose jobs are not known in advance."""
        if tuning.is_tuning(config.hydra):
            tuning.silence()
            runs = [run for job in tuning.first_trials(overrides(config)) for run in runs_of(config, job)]
            total = config.hydra.sweeper.n_trials
            what = f"the ends of the ranges of {total} trials"
        elif config.hydra.sweeper._target_.endswith(".BasicSweeper"):
            runs = [run for job in grid(config) for run in runs_of(config, job)]
            total, what = len(runs), f"{len(runs)} runs"
        else:
            return None
        print(f"suite {config.suite}: checking {what} before the first one starts", file=sys.stderr, flush=True)
        session().preflight(runs, here=not launchers.on_other_machines(config.hydra))
        if tuning.is_tuning(config.hydra):
            tuning.check_trials(runs, session().shared)
        if logs := config.hydra.launcher.get("submitit_folder"):
            print(f"logs of the jobs: {logs.replace('%j', 'JOB')}", file=sys.stderr, flush=True)
        return total


def _use_writable_folder(config: DictConfig) -> None:
    """Let Hydra write its own files of the sweep to a folder that is removed at the end if results_dir is read only."""
    folder = Path(config.hydra.sweep.dir)
    existing = next(p for p in [folder.absolute(), *folder.absolute().parents] if p.exists())
    if existing.is_dir() and not os.access(existing, os.W_OK):
        with read_write(config):
            config.hydra.sweep.dir = session().scratch()
            config.hydra.overrides.hydra.append(f"hydra.sweep.dir={config.hydra.sweep.dir}")  # from which Hydra composes the jobs


def overrides(config: DictConfig) -> list[Override]:
    """The overrides of the suite and of the command line, parsed; ranges and choices are not expanded."""
    loader = GlobalHydra.instance().config_loader()
    arguments = [*(f"{k}={v}" for k, v in (config.hydra.sweeper.params or {}).items()), *config.hydra.overrides.task]
    return OverridesParser.create(config_loader=loader).parse_overrides(arguments)


def grid(config: DictConfig) -> list[list[str]]:
    """The overrides of every job of Hydra's basic sweeper."""
    return split(overrides(config))


class Tables(Callback):
    """Write tables, figures and report page of the suite at the end, and print table.md."""

    def on_run_end(self, config: DictConfig, **kwargs: Any) -> None:
        job: JobReturn = kwargs["job_return"]
        if job.status is JobStatus.FAILED:
            return  # its error is raised next
        with exit_on_error():
            write_tables(config)

    def on_multirun_end(self, config: DictConfig, **kwargs: Any) -> None:
        with exit_on_error():
            session().end_sweep()
            write_tables(config)
            if tuning.is_tuning(config.hydra):
                print(redact(f"\n{tuning.advice(config)}"), end="")


def _note_missing_report() -> None:
    if (name := missing_package(*REPORT)) is not None:
        print(f"no figures and no report.html: {name} is not installed; pip install 'iwsft-bench[report]'", file=sys.stderr, flush=True)


class Secrets(Callback):
    """Remove secrets from multirun.yaml, where Hydra keeps the whole command line, before a job starts."""

    def on_job_start(self, config: DictConfig, **kwargs: Any) -> None:
        self._redact(config)

    def on_multirun_end(self, config: DictConfig, **kwargs: Any) -> None:
        self._redact(config)

    def _redact(self, config: DictConfig) -> None:
        path = Path(config.hydra.sweep.dir) / "multirun.yaml"
        with exit_on_error():
            if path.is_file() and (text := path.read_text()) != (clean := redact(text)):
                path.write_text(clean)  # as Hydra wrote it: a process that is killed leaves no scratch file
