"""`hydra/launcher=population`: jobs of a sweep that differ only in seeds and batchable settings are trained as one population.

Hydra imports every plugin whenever one of its programs starts, so nothing heavy is imported at module level.
"""

from __future__ import annotations

from collections.abc import Sequence

from hydra.core.config_store import ConfigStore
from hydra.core.utils import JobReturn, JobStatus
from hydra.plugins.launcher import Launcher
from hydra.types import HydraContext, TaskFunction
from omegaconf import DictConfig

# A plain dict: Hydra executes this file before it is a known module, which a dataclass needs.
ConfigStore.instance().store(
    group="hydra/launcher",
    name="population",
    node={"_target_": "hydra_plugins.iwsft_population.launcher.PopulationLauncher"},
    provider="iwsft_population",
)


class PopulationLauncher(Launcher):
    """Trains the jobs of `python -m bench` in this process, in as few populations as possible, one after another."""

    def setup(self, *, hydra_context: HydraContext, task_function: TaskFunction, config: DictConfig) -> None:
        self.config = config

    def launch(self, job_overrides: Sequence[Sequence[str]], initial_job_idx: int) -> Sequence[JobReturn]:
        from bench.launch.jobs import launch

        launch(self.config, job_overrides)
        return [JobReturn(overrides=overrides, status=JobStatus.COMPLETED) for overrides in job_overrides]
