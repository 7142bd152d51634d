"""What happens around runs and sweeps, as Hydra callbacks: whatever launches the jobs, these frame them.

Hydra turns an exception in a callback into a warning; a mistake therefore leaves through `stop`.
"""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

from hydra._internal.core_plugins.basic_sweeper import BasicSweeper
from hydra.core.global_hydra import GlobalHydra
from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.experimental.callback import Callback
from omegaconf import DictConfig

from bench import progress
from bench.elsewhere import come_back
from bench.explain import framed
from bench.files import write_atomic
from bench.preflight import preflight
from bench.secrets import redact
from bench.sweep import composed


class Preflight(Callback):
    """Check every job of a sweep before the first one starts: a typing error in job 7 costs no hour."""

    def on_multirun_start(self, config: DictConfig, **kwargs: Any) -> None:
        if not config.hydra.sweeper._target_.endswith(".BasicSweeper"):
            return  # only a grid is known in advance
        with framed():
            runs = [run for job in grid(config) for run in composed(config, job)]
            print(f"suite {config.suite}: {len(runs)} runs, checked before the first one starts", file=sys.stderr, flush=True)
            preflight(runs)
        progress.job_numbers["total"] = len(runs)


def grid(config: DictConfig) -> list[list[str]]:
    """The overrides of every job of the basic sweeper."""
    loader = GlobalHydra.instance().config_loader()
    arguments = [*(f"{k}={v}" for k, v in (config.hydra.sweeper.params or {}).items()), *config.hydra.overrides.task]
    overrides = OverridesParser.create(config_loader=loader).parse_overrides(arguments)
    return [job for batch in BasicSweeper.split_arguments(overrides, None) for job in batch]


class Tables(Callback):
    """Rebuild the suite's tables, figures and report page at the end, and print the table that a person reads."""

    def on_run_end(self, config: DictConfig, **kwargs: Any) -> None:
        self._rebuild(config)

    def on_multirun_end(self, config: DictConfig, **kwargs: Any) -> None:
        self._rebuild(config)

    def _rebuild(self, config: DictConfig) -> None:
        from bench.leaderboard import rebuild  # loads pandas, which nobody should wait for at the start
        from bench.report.build import write_report  # and matplotlib
        from bench.wanted import Wanted

        folder = Path(config.results_dir) / config.suite
        with framed():
            come_back()
            wanted = Wanted(config.mixed, config.published)
            print(rebuild(folder, wanted), end="")
            write_report(folder, wanted)
        print(f"\nwritten to {folder}: report.html, table.md, table.tex, table.csv, leaderboard.csv, scores.csv, figures/")


class Secrets(Callback):
    """Hydra keeps a sweep's whole command line, keys that were set there included: they are blotted out before a job starts."""

    def on_job_start(self, config: DictConfig, **kwargs: Any) -> None:
        self._blot(config)

    def on_multirun_end(self, config: DictConfig, **kwargs: Any) -> None:
        self._blot(config)

    def _blot(self, config: DictConfig) -> None:
        path = Path(config.hydra.sweep.dir) / "multirun.yaml"
        with framed():
            if path.is_file() and (text := path.read_text()) != (clean := redact(text)):
                write_atomic(path, clean)
