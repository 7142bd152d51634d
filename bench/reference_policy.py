"""pi_ref: trained once for a (data set, seeds, settings) and shared by every method that starts from it or weighs by it."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file, save
from torch import Tensor

from algos.base import Episodes
from algos.members import part, stacked
from algos.weighted_bc import WeightedBC, WeightedBCConfig
from bench.config import Config
from bench.errors import RunError
from bench.execution import arithmetic
from bench.files import write_atomic
from bench.progress import Reporter
from bench.rundir import FORMAT, digest_of

CHUNK = 50  # updates between two moves of the progress bar


def _path(config: Config, reference: WeightedBCConfig, dataset_digest: str, device: torch.device) -> Path:
    key = digest_of((FORMAT, reference.determinants(), dataset_digest, list(config.seeds), arithmetic(device, config)))
    return Path(config.results_dir) / ".pi_ref" / f"{key}.safetensors"


def share(config: Config, dataset_digest: str, device: torch.device, policy: dict[str, Tensor]) -> None:
    """Leave the policy of a run that is itself a reference (BC on all data) for others to find."""
    algo = config.algo
    if isinstance(algo, WeightedBCConfig) and algo.determinants() == algo.reference.determinants():
        write_atomic(_path(config, algo, dataset_digest, device), save({k: v.cpu().contiguous() for k, v in policy.items()}))


def find_or_train(
    configs: Sequence[Config], data: Episodes, dataset_digest: str, device: torch.device, reporter: Reporter
) -> dict[str, Tensor]:
    """The parameters [P, ...] by name of the reference policies of all members of `configs`, which are trained together.

    Runs with the same reference share it; those that are missing are trained as one population.
    """
    paths = [_path(config, config.algo.reference, dataset_digest, device) for config in configs]
    missing = {path: config for path, config in zip(paths, configs, strict=True) if not path.exists()}
    if missing:
        _train(missing, data, reporter)
    found = {path: _load(path, device) for path in dict.fromkeys(paths)}
    return {name: torch.cat([found[path][name] for path in paths]) for name in found[paths[0]]}


def _train(missing: dict[Path, Config], data: Episodes, reporter: Reporter) -> None:
    """Train the references of `missing` together and leave each at its path."""
    members = [(config.algo.reference, seed) for config in missing.values() for seed in config.seeds]
    algo = WeightedBC(stacked([reference for reference, _ in members]), data, [seed for _, seed in members])
    reporter.stage("training pi_ref", algo.updates)
    for done in range(0, algo.updates, CHUNK):
        algo.train(done, min(done + CHUNK, algo.updates))
        reporter.update(min(done + CHUNK, algo.updates), "training pi_ref")
    policy, first = algo.policy(), 0
    for path, config in missing.items():
        own = part(policy, slice(first, first := first + len(config.seeds)))
        write_atomic(path, save({k: v.cpu().contiguous() for k, v in own.items()}))


def _load(path: Path, device: torch.device) -> dict[str, Tensor]:
    try:
        return load_file(path, device=str(device))
    except SafetensorError as error:
        raise RunError(f"{path} cannot be read ({error}); remove it and run again") from error
