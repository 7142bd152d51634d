"""The jobs of a sweep, as runs."""

from __future__ import annotations

from collections.abc import Sequence

from hydra.core.utils import setup_globals
from omegaconf import DictConfig

from bench.config.compose import compose_job
from bench.config.schema import Config
from bench.launch.deferred import shared
from bench.launch.preflight import preflight
from bench.training.population import expanded
from bench.training.run import train_runs


def composed(config: DictConfig, job: list[str]) -> list[Config]:
    """The checked runs of the job with the overrides `job` in the sweep of `config`."""
    return expanded(compose_job(config, job))


def launch(config: DictConfig, jobs: Sequence[list[str]]) -> None:
    """Do all `jobs` together."""
    setup_globals()
    runs = [run for job in jobs for run in composed(config, job)]
    preflight(runs)
    train_runs(runs, shared)
