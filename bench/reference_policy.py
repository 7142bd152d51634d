"""pi_ref: trained once for a (data set, seeds, settings) and shared by every method that starts from it or weighs by it."""

from __future__ import annotations

from pathlib import Path

import torch
from filelock import FileLock
from safetensors import SafetensorError
from safetensors.torch import load_file, save
from torch import Tensor

from algos.base import Episodes
from algos.weighted_bc import WeightedBC, WeightedBCConfig
from bench.config import Config
from bench.errors import RunError
from bench.files import write_atomic
from bench.progress import Reporter
from bench.rundir import FORMAT, digest_of

CHUNK = 50  # updates between two moves of the progress bar


def _path(config: Config, reference: WeightedBCConfig, dataset_digest: str, device: torch.device) -> Path:
    key = digest_of((FORMAT, reference.determinants(), dataset_digest, list(config.seeds), device.type))
    return Path(config.results_dir) / ".pi_ref" / f"{key}.safetensors"


def share(config: Config, dataset_digest: str, device: torch.device, policy: dict[str, Tensor]) -> None:
    """Leave the policy of a run that is itself a reference (BC on all data) for others to find."""
    algo = config.algo
    if isinstance(algo, WeightedBCConfig) and algo.determinants() == algo.reference.determinants():
        write_atomic(_path(config, algo, dataset_digest, device), save({k: v.cpu().contiguous() for k, v in policy.items()}))


def _train(config: Config, path: Path, data: Episodes, reporter: Reporter) -> None:
    """Train the reference of `config` and leave its policy at `path`."""
    algo = WeightedBC(config.algo.reference, data, config.seeds)
    reporter.stage("training pi_ref", algo.updates)
    for done in range(0, algo.updates, CHUNK):
        algo.train(done, min(done + CHUNK, algo.updates))
        reporter.update(min(done + CHUNK, algo.updates), "training pi_ref")
    write_atomic(path, save({k: v.cpu().contiguous() for k, v in algo.policy().items()}))


def find_or_train(config: Config, data: Episodes, dataset_digest: str, device: torch.device, reporter: Reporter) -> dict[str, Tensor]:
    """The reference policy's parameters [P, ...] by name."""
    reference = config.algo.reference
    path = _path(config, reference, dataset_digest, device)
    if not path.exists():
        path.parent.mkdir(parents=True, exist_ok=True)
        with FileLock(path.with_suffix(".lock")):  # of jobs side by side one trains, the others wait for it
            if not path.exists():
                _train(config, path, data, reporter)
    try:
        return load_file(path, device=str(device))
    except SafetensorError as error:
        raise RunError(f"{path} cannot be read ({error}); remove it and run again") from error
