"""What the jobs of one process share: the data set in use and the processes that step its environment."""

from __future__ import annotations

import atexit
import os
from dataclasses import replace

import torch

from algos.errors import ConfigError
from bench.config.schema import Config
from envs.data.logged_data import LoggedData
from envs.evaluation.measured_reference import measured_reference
from envs.evaluation.rollout import Evaluator
from envs.readers.load import load

_data: dict[str, LoggedData] = {}
_evaluators: dict[tuple[str, int | None], Evaluator] = {}


def data_set(dataset: str, workers: int | None = None) -> LoggedData:
    """Data set `dataset`, with a measured reference if it brings none; the last one used stays in memory."""
    if dataset not in _data:
        _data.clear()
        data = load(dataset)
        _data[dataset] = data if data.reference else replace(data, reference=measured_reference(data, evaluator(data.env_spec, workers)))
    return _data[dataset]


def pi_ref_data(config: Config) -> LoggedData | None:
    """What pi_ref of a run is trained on, if that is not the data set itself."""
    used = config.pi_ref_dataset not in (None, config.dataset) and getattr(config.algo, "needs_pi_ref", False)
    return data_set(config.pi_ref_dataset, config.eval.workers) if used and config.pi_ref_dataset else None


def evaluator(env_spec: str, workers: int | None) -> Evaluator:
    """Open environments of `env_spec`; the last ones used stay open."""
    key = env_spec, workers
    if key not in _evaluators:
        close()
        _evaluators[key] = Evaluator(env_spec, workers or cores())
    return _evaluators[key]


@atexit.register
def close() -> None:
    """Close the environments."""
    while _evaluators:
        _evaluators.popitem()[1].close()


def cores() -> int:
    """How many cores are for this process: OMP_NUM_THREADS, which launchers set for each of their jobs, else all that it may run on."""
    try:
        return max(1, int(float(os.environ["OMP_NUM_THREADS"])))  # a share of a core is one thread
    except (KeyError, ValueError):
        return len(os.sched_getaffinity(0))


def device_of(name: str) -> torch.device:
    """The device that `device=name` stands for. Raises ConfigError for a GPU that is not there."""
    if name == "auto":
        name = "cuda" if torch.cuda.is_available() else "cpu"
    if name == "cuda" and not torch.cuda.is_available():
        raise ConfigError("device = cuda: this torch finds no GPU; use device=cpu")
    return torch.device(name)
