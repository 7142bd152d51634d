"""Where the jobs of a sweep run: `hydra/launcher=NAME` (conf/hydra/launcher/). Hydra's own launcher runs them one after another in the
process of the command; joblib, submitit (SLURM) and Ray are plugins that run them in processes of their own, here or elsewhere.

A plugin sends a job to its process as a pickle that it has just made itself (cloudpickle), and the job's one number back: that is its own
business and the only pickle there is. Results never travel so; a job leaves them in its run directory.
"""

from __future__ import annotations

import multiprocessing
import os
import platform
from collections.abc import Iterator
from importlib.resources import files
from importlib.resources.abc import Traversable
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import torch
from hydra.core.config_store import ConfigStore
from hydra.core.hydra_config import HydraConfig
from hydra.core.plugins import Plugins
from omegaconf import DictConfig

from bench.errors import RunError, first_line
from bench.training.device import cores

EXTRAS = {
    "hydra_joblib_launcher": "joblib",
    "hydra_submitit_launcher": "slurm",
    "hydra_ray_launcher": "ray",
    "hydra_optuna_sweeper": "optuna",
}


def prefer_own_configs() -> None:
    """Drop the plugins' structured configs that conf/hydra/ has files of the same name for.

    Hydra would merge each file with its namesake, which it deprecates, and refuses where the namesake has defaults of its own.
    """
    Plugins.instance()  # imports the plugins, which store their configs
    for *folders, name in _yaml_files(files("conf").joinpath("hydra"), ("hydra",)):
        node = ConfigStore.instance().repo
        for folder in folders:
            node = node.get(folder, {})
        node.pop(name, None)


def _yaml_files(folder: Traversable, path: tuple[str, ...]) -> Iterator[tuple[str, ...]]:
    for entry in folder.iterdir():
        if entry.is_dir():
            yield from _yaml_files(entry, (*path, entry.name))
        elif entry.name.endswith(".yaml"):
            yield (*path, entry.name)


def check_extras(config: DictConfig) -> None:
    """Raise RunError if the launcher or sweeper that `config` names is a plugin that is not installed."""
    for group in ("launcher", "sweeper"):
        room, _, rest = config.hydra[group]._target_.partition(".")
        package = rest.partition(".")[0]
        if room == "hydra_plugins" and (find_spec(room) is None or find_spec(f"{room}.{package}") is None):
            extra, wanted = EXTRAS.get(package), package.replace("_", "-")
            how = f"pip install {wanted}" if extra is None else f"make extra-{extra}, or pip install 'iwsft-bench[{extra}]'"
            raise RunError(f"hydra/{group}={config.hydra.runtime.choices[f'hydra/{group}']}: {wanted} is not installed; say {how}")


def check_single(config: DictConfig) -> None:
    """Raise RunError if a launcher or sweeper is asked for that a single run would not use."""
    for group in ("launcher", "sweeper"):
        if (choice := config.hydra.runtime.choices[f"hydra/{group}"]) != "basic":
            raise RunError(f"hydra/{group}={choice}: this is a single run, which no {group} sees; add -m (a sweep of one job is one, too)")


def elsewhere(hydra: DictConfig) -> bool:
    """Whether jobs run in processes of their own."""
    return hydra.launcher._target_.startswith("hydra_plugins.")


def on_other_machines(hydra: DictConfig) -> bool:
    """Whether jobs may run on machines other than this one, with other devices."""
    return hydra.launcher._target_.endswith((".SlurmLauncher", ".RayLauncher"))


def reported(hydra: DictConfig) -> bool:
    """Whether a job's error goes to whoever launched it, and not straight to the user: the other jobs, or the other trials, go on."""
    return elsewhere(hydra) or not hydra.sweeper._target_.endswith(".BasicSweeper")


def enter_job() -> DictConfig:
    """Make this process one that a job can run in, wherever it was started; Hydra's part of the job's configuration."""
    whole: Any = HydraConfig.instance().cfg
    hydra: DictConfig = whole.hydra
    if elsewhere(hydra):
        multiprocessing.set_start_method("spawn", force=True)  # joblib leaves one of its own that evaluation's processes do not know
        enter(Path(hydra.runtime.cwd))  # relative paths mean what they meant where the command was given
        torch.set_num_threads(cores())  # torch was imported before OMP_NUM_THREADS was set
    return hydra


def enter(folder: Path) -> None:
    """Make `folder` the current one. Raises RunError if this machine has none such."""
    try:
        os.chdir(folder)
    except OSError as error:
        raise RunError(f"{platform.node()} has no folder {folder} ({error.strerror}); sweep from one that all machines have") from error


def lost_job(error: BaseException) -> str | None:
    """The line for a job that ended without a word (killed, out of memory, out of time), None if `error` is none of these."""
    kind = type(error)
    if isinstance(error, ValueError) and "No trials are completed" in str(error):
        return "no trial gave a score; the errors above say why"
    if not any(k.__module__.startswith(("submitit.", "joblib.externals.loky", "ray.exceptions")) for k in kind.__mro__):
        return None
    return f"a job ended without a result ({kind.__name__}: {first_line(error)[:300]}); the same command goes on with what is not finished"
