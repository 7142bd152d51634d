"""pi_ref: trained once for a (data set, seeds, settings) and shared by every method that starts from it or weighs by it.

<results_dir>/.pi_ref/<key>.safetensors            the policy
<results_dir>/.pi_ref/<key>.training.safetensors   a checkpoint of its training, gone when it is done

Whoever trains it, BC runs included, has its lock; others wait for the policy. If the one that trains dies, the next goes on from there.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, nullcontext
from pathlib import Path

import torch
from torch import Tensor

from algos.base import Episodes
from algos.weighted_bc import WeightedBC, WeightedBCConfig
from bench import signals
from bench.autosave import Autosave, Stride
from bench.checkpoints import Checkpoint, Checkpoints
from bench.config import Config
from bench.errors import RunError
from bench.files import remove_scratch, write_atomic
from bench.locks import Lock
from bench.progress import Reporter
from bench.rundir import FORMAT, digest_of
from bench.tensors import DamagedError, pack, unpack


def _path(config: Config, reference: WeightedBCConfig, dataset_digest: str, device: torch.device) -> Path:
    key = digest_of((FORMAT, reference.determinants(), dataset_digest, list(config.seeds), device.type))
    return Path(config.results_dir) / ".pi_ref" / f"{key}.safetensors"


def _lock(path: Path) -> Lock:
    return Lock(path.parent / ".locks" / f"{path.stem}.lock")


def _is_reference(config: Config) -> bool:
    """Whether the run is BC on all data."""
    return isinstance(config.algo, WeightedBCConfig) and config.algo.determinants() == config.algo.reference.determinants()


@contextmanager
def announced(config: Config, dataset_digest: str, device: torch.device) -> Iterator[Callable[[dict[str, Tensor]], None]]:
    """Around a run: if it is itself a reference that nobody trains yet, others wait for it instead of training the same.

    Yields what shares the run's policy with them, or does nothing.
    """
    path = _path(config, config.algo, dataset_digest, device) if _is_reference(config) else None
    if path is None or path.exists() or not (lock := _lock(path)).take():
        yield lambda policy: None
        return
    try:
        yield lambda policy: write_atomic(path, pack(policy))
    finally:
        lock.give_back()


def find_or_train(config: Config, data: Episodes, dataset_digest: str, device: torch.device, reporter: Reporter) -> dict[str, Tensor]:
    """The reference policy's parameters [P, ...] by name."""
    path = _path(config, config.algo.reference, dataset_digest, device)

    def on_wait(holder: str) -> None:
        reporter.say(f"{reporter.label}: waiting for pi_ref, which {holder} trains")

    with nullcontext() if path.exists() else _lock(path).held(on_wait, signals.leave_if_asked):
        if not path.exists():
            _train(path, WeightedBC(config.algo.reference, data, config.seeds), config.checkpoint_minutes, reporter)
    try:
        policy, _ = unpack(path)
    except DamagedError as error:
        raise RunError(f"{path} cannot be read ({error}); remove it and run again") from error
    return {name: value.to(device) for name, value in policy.items()}


def _train(path: Path, algo: WeightedBC, checkpoint_minutes: float, reporter: Reporter) -> None:
    """Train `algo` from where its checkpoints stand to the end, and write its policy to `path`."""
    remove_scratch(path.parent, path.stem)
    checkpoints, autosave, stride, done = Checkpoints(path.parent, f"{path.stem}.training"), Autosave(checkpoint_minutes), Stride(), 0
    saved = next((found for found in checkpoints.load() if isinstance(found, Checkpoint)), None)  # a damaged one only costs time
    if saved is not None:
        done = saved.update
        algo.state = {k: v.to(algo.device) for k, v in saved.state.items()}
    reporter.stage("training pi_ref", algo.updates, done)

    def save() -> None:
        checkpoints.save(done, algo.state)
        autosave.restart()

    while done < algo.updates:
        signals.leave_if_asked(save)
        if autosave.due:
            save()
        started, until = time.perf_counter(), min(done + stride.updates, algo.updates)
        algo.train(done, until)
        stride.took(time.perf_counter() - started)
        done = until
        reporter.update(done, "training pi_ref")
    write_atomic(path, pack(algo.policy()))
    checkpoints.clear()
