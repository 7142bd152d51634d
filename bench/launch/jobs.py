"""The jobs of a sweep, as runs."""

from __future__ import annotations

from collections.abc import Sequence

from hydra.core.global_hydra import GlobalHydra
from hydra.core.utils import setup_globals
from omegaconf import DictConfig, open_dict, read_write

from bench.config.schema import Config, to_config
from bench.launch.preflight import preflight
from bench.training.population import expanded
from bench.training.run import run_all


def composed(config: DictConfig, job: list[str]) -> list[Config]:
    """The checked runs of the job with the overrides `job` in the sweep of `config`."""
    whole = GlobalHydra.instance().config_loader().load_sweep_config(config, job)
    with read_write(whole), open_dict(whole):
        del whole["hydra"]
    return expanded(to_config(whole))


def launch(config: DictConfig, jobs: Sequence[list[str]]) -> None:
    """Do all `jobs` together."""
    setup_globals()
    runs = [run for job in jobs for run in composed(config, job)]
    preflight(runs)
    run_all(runs)
