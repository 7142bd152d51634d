"""Launchers run the jobs of a sweep: `hydra/launcher=NAME`, configured in conf/hydra/launcher/.

Hydra's own launcher runs jobs one after another in the process of the command. joblib, submitit (SLURM) and Ray are plugins that run
each job in a process of its own, on this machine or others. They pickle the job to send it and its one number to send it back.
Results are never sent; a job writes them to its run directory.
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
from bench.training.process import prepare_process

EXTRAS = {
    "hydra_joblib_launcher": "joblib",
    "hydra_submitit_launcher": "slurm",
    "hydra_ray_launcher": "ray",
    "hydra_optuna_sweeper": "optuna",
}
"""Extra of pyproject.toml by plugin package."""


def prefer_own_configs() -> None:
    """Drop the plugins' structured configs for which conf/hydra/ has a file of the same name.

    Hydra would merge the two, which is deprecated, and fails where the plugin's config has defaults of its own.
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
    """Raise RunError, with the command to install it, if the launcher or sweeper of `config` is a plugin that is not installed."""
    check_groups(config)
    for group in ("launcher", "sweeper"):
        namespace, _, rest = config.hydra[group]._target_.partition(".")
        package = rest.partition(".")[0]
        if namespace == "hydra_plugins" and (find_spec(namespace) is None or find_spec(f"{namespace}.{package}") is None):
            extra, name = EXTRAS.get(package), package.replace("_", "-")
            install = name if extra is None else f"'iwsft-bench[{extra}]'"
            choice = config.hydra.runtime.choices[f"hydra/{group}"]
            raise RunError(f"hydra/{group}={choice}: the package {name} is not installed; pip install {install}")


def check_groups(config: DictConfig) -> None:
    """Raise RunError for hydra.launcher=NAME, which replaces the launcher's settings by a text; hydra/launcher=NAME chooses one."""
    for group in ("launcher", "sweeper"):
        if not isinstance(found := config.hydra[group], DictConfig) or "_target_" not in found:
            raise RunError(f"hydra.{group}={found}: use hydra/{group}={found}, with a slash, to choose a {group}")


def check_single(config: DictConfig) -> None:
    """Raise RunError if a launcher or sweeper is chosen without -m: a single run uses neither."""
    check_groups(config)
    for group in ("launcher", "sweeper"):
        if (choice := config.hydra.runtime.choices[f"hydra/{group}"]) != "basic":
            raise RunError(f"hydra/{group}={choice}: a single run has no {group}; add -m to make it a sweep")


def in_own_process(hydra: DictConfig) -> bool:
    """True if the launcher runs each job in a process of its own."""
    return hydra.launcher._target_.startswith("hydra_plugins.")


def on_other_machines(hydra: DictConfig) -> bool:
    """True if jobs may run on other machines, which have other devices."""
    return hydra.launcher._target_.endswith((".SlurmLauncher", ".RayLauncher"))


def errors_are_returned(hydra: DictConfig) -> bool:
    """True if the launcher or tuner receives a job's error and continues with the other jobs."""
    return in_own_process(hydra) or not hydra.sweeper._target_.endswith(".BasicSweeper")


def enter_job() -> DictConfig:
    """Prepare this process, which a launcher may have started, for a job; returns the `hydra` node of the job's configuration."""
    whole: Any = HydraConfig.instance().cfg
    hydra: DictConfig = whole.hydra
    if in_own_process(hydra):
        prepare_process()
        multiprocessing.set_start_method("spawn", force=True)  # joblib sets one that evaluation's processes do not have
        change_folder(Path(hydra.runtime.cwd))  # of the command: relative paths are relative to it
        torch.set_num_threads(cores())  # the launcher set OMP_NUM_THREADS after torch was imported
    return hydra


def change_folder(folder: Path) -> None:
    """Change the current folder. Raises RunError if this machine has no such folder."""
    try:
        os.chdir(folder)
    except OSError as error:
        raise RunError(f"{platform.node()} has no folder {folder} ({error.strerror}); sweep from one that all machines have") from error


def lost_job(error: BaseException) -> str | None:
    """A line for a job whose process died (killed, out of memory or time) or a study without a score; None for other errors."""
    kind = type(error)
    if isinstance(error, ValueError) and "No trials are completed" in str(error):
        return "no trial gave a score; the errors above say why"
    if not any(k.__module__.startswith(("submitit.", "joblib.externals.loky", "ray.exceptions")) for k in kind.__mro__):
        return None
    return f"a job ended without a result ({kind.__name__}: {first_line(error)[:300]}); the same command continues with unfinished runs"
