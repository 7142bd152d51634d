"""Training through Hydra: `python -m bench [-m] key=value ...`."""

from __future__ import annotations

import os
import sys
import traceback
from collections.abc import Sequence

import hydra
from omegaconf import DictConfig

from bench.config.compose import register, to_config
from bench.config.mistakes import MISTAKES, explain, stop
from bench.config.redact import redact
from bench.config.schema import Config
from bench.errors import RunError
from bench.launch.callbacks import Tables
from bench.launch.deferred import run_or_defer, shared
from bench.launch.launchers import enter_job, lost_job, prefer_own_configs, reported
from bench.launch.preflight import preflight
from bench.launch.tuning import is_tuning, objective
from bench.training.population import expanded
from bench.training.run import train_run


def train(arguments: Sequence[str]) -> None:
    """Train the run or the sweep that `arguments` describe, and write its tables.

    Raises the errors of a user's mistakes; where jobs of a sweep failed, after the tables of the finished ones are written.
    """
    register()
    prefer_own_configs()
    os.environ["HYDRA_FULL_ERROR"] = "1"  # Hydra then raises errors instead of printing them and exiting
    before, sys.argv = sys.argv, [sys.argv[0], *arguments]
    try:
        hydra.main(version_base="1.3", config_path="pkg://conf", config_name="config")(job)()
    except MISTAKES:
        Tables.after_failed_jobs()
        raise
    except Exception as error:
        if (line := lost_job(error)) is None:
            raise
        Tables.after_failed_jobs()
        raise RunError(line) from error
    finally:
        shared.close()
        sys.argv = before


def job(composed: DictConfig) -> float | None:
    """One job of a sweep, or a single run; returns the number that a tuner maximises, None without a tuner."""
    register()  # a launcher may start the job in a fresh process
    hydra_config = enter_job()
    try:
        return _train(expanded(to_config(composed)), is_tuning(hydra_config))
    except MISTAKES as error:
        if not reported(hydra_config):
            stop(error)
        print(redact(f"error: {explain(error)}"), file=sys.stderr, flush=True)
        raise RunError(explain(error)) from None  # other types may not survive pickling
    except Exception:
        if reported(hydra_config):
            print(redact(traceback.format_exc()), end="", file=sys.stderr, flush=True)  # tracebacks are not pickled
        raise


def _train(configs: list[Config], tuning: bool) -> float | None:
    preflight(configs)
    if not tuning:
        run_or_defer(configs)
        return None
    if len(configs) > 1:
        raise RunError("population: a trial of a tuner is one run; let the tuner vary these settings")
    return objective(configs[0], train_run(configs[0], shared))
