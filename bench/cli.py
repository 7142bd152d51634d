"""The command: compose the configuration, run, and say what went wrong in one line."""

from __future__ import annotations

import os
import sys
import traceback

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


def _job(composed: DictConfig) -> float | None:
    """One job of a sweep, or the only one; the number that a tuner maximises, where there is one."""
    register()  # a job may run in a process that has seen nothing of this yet
    hydra_config = enter_job()
    try:
        return _do(expanded(to_config(composed)), is_tuning(hydra_config))
    except MISTAKES as error:
        if not reported(hydra_config):
            stop(error)
        print(redact(f"error: {explain(error)}"), file=sys.stderr, flush=True)
        raise RunError(explain(error)) from None  # its own kind may not survive the way back
    except Exception:
        if reported(hydra_config):
            print(redact(traceback.format_exc()), end="", file=sys.stderr, flush=True)  # tracebacks do not travel
        raise


def _do(configs: list[Config], tuning: bool) -> float | None:
    preflight(configs)
    if not tuning:
        run_or_defer(configs)
        return None
    if len(configs) > 1:
        raise RunError("population: a trial of a tuner is one run; leave the settings to the tuner")
    return objective(configs[0], train_run(configs[0], shared))


def main() -> None:
    """`python -m bench`. Exit code 2 for a user's mistake, 130 when interrupted."""
    sys.excepthook = lambda kind, error, trace: print(redact("".join(traceback.format_exception(kind, error, trace))), file=sys.stderr)
    wants_traceback = os.environ.get("HYDRA_FULL_ERROR") == "1"
    os.environ["HYDRA_FULL_ERROR"] = "1"  # Hydra then raises what it would print and exit over
    register()
    prefer_own_configs()
    try:
        hydra.main(version_base="1.3", config_path="pkg://conf", config_name="config")(_job)()
    except MISTAKES as error:
        if wants_traceback:
            raise
        Tables.of_what_is_there()
        stop(error)
    except KeyboardInterrupt:
        print("interrupted; the same command goes on from the last save", file=sys.stderr)
        sys.exit(130)
    except Exception as error:
        if wants_traceback or (line := lost_job(error)) is None:
            raise
        Tables.of_what_is_there()
        stop(RunError(line))
    finally:
        shared.close()
