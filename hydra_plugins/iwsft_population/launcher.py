"""`hydra/launcher=population`: the jobs of a sweep that differ in seeds and batchable settings alone are trained as one population.

Hydra looks for plugins in this package whenever any of its programs starts, so nothing heavy is imported here.
"""

from __future__ import annotations

from collections.abc import Sequence

from hydra.core.config_store import ConfigStore
from hydra.core.utils import JobReturn, JobStatus
from hydra.plugins.launcher import Launcher
from hydra.types import HydraContext, TaskFunction
from omegaconf import DictConfig

# It has no settings of its own: `max_members` is the suite's. (A plain dict: Hydra executes this file before it is a known module,
# which a dataclass would need.)
ConfigStore.instance().store(
    group="hydra/launcher",
    name="population",
    node={"_target_": "hydra_plugins.iwsft_population.launcher.PopulationLauncher"},
    provider="iwsft_population",
)


class PopulationLauncher(Launcher):
    """Runs `python -m bench` jobs in this process, as few populations as fit the device, one after another."""

    def setup(self, *, hydra_context: HydraContext, task_function: TaskFunction, config: DictConfig) -> None:
        self.config = config

    def launch(self, job_overrides: Sequence[Sequence[str]], initial_job_idx: int) -> Sequence[JobReturn]:
        from bench.launch.jobs import launch

        launch(self.config, [list(overrides) for overrides in job_overrides])
        return [JobReturn(overrides=overrides, status=JobStatus.COMPLETED) for overrides in job_overrides]
