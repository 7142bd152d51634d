"""Jobs of a sweep: composed as runs, trained one by one (`job`), or together (`launch`)."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from dataclasses import replace

from hydra.core.utils import setup_globals
from omegaconf import DictConfig

from bench.config.compose import compose_job, register, to_config
from bench.config.mistakes import MISTAKES, explain, report
from bench.config.schema import Config
from bench.errors import RunError
from bench.launch.launchers import enter_job, errors_are_returned
from bench.launch.session import session
from bench.launch.tables import write_partial_tables
from bench.launch.tuning import is_tuning, objective
from bench.training.grouping import expanded
from bench.training.run import train_run


def job(composed: DictConfig) -> float | None:
    """One job of a sweep, or a single run; returns the number that a tuner maximises, None without a tuner."""
    register()  # a launcher may start the job in a fresh process
    hydra_config = enter_job()
    try:
        return _train(expanded(to_config(composed)), is_tuning(hydra_config))
    except Exception as error:
        if not errors_are_returned(hydra_config):
            write_partial_tables()
            sys.exit(report(error))  # Hydra would add lines
        report(error)  # tracebacks are not pickled
        if isinstance(error, MISTAKES):
            raise RunError(explain(error)) from None  # other types may not survive pickling
        raise


def _train(configs: list[Config], tuning: bool) -> float | None:
    session().preflight(configs)
    if not tuning:
        session().train(configs)
        return None
    if len(configs) > 1:
        raise RunError("population: a trial of a tuner is one run; let the tuner vary these settings")
    (config,) = configs
    config = replace(config, report=replace(config.report, chosen_by=config.report.chosen_by | {config.algo.name: config.objective}))
    return objective(config, train_run(config, session().shared, session().jobs))


def runs_of(sweep: DictConfig, overrides: Sequence[str]) -> list[Config]:
    """The checked runs of the job of `sweep` with these overrides."""
    return expanded(compose_job(sweep, overrides))


def launch(sweep: DictConfig, jobs: Sequence[Sequence[str]]) -> None:
    """Train all `jobs` of `sweep`, each a list of overrides, in as few populations as possible."""
    setup_globals()
    runs = [run for overrides in jobs for run in runs_of(sweep, overrides)]
    session().preflight(runs)
    session().train(runs)
