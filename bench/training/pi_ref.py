"""pi_ref: trained once for a (data set, seeds, settings) and shared by every method that starts from it or weighs by it.

<results_dir>/.pi_ref/<key>.safetensors            the policy
<results_dir>/.pi_ref/<key>.training.safetensors   a checkpoint of its training, gone when it is done

Whoever trains it, BC runs included, has its lock; others wait for the policy. If the one that trains dies, the next goes on from there.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path

import torch
from torch import Tensor

from algos.base import Algo, Episodes
from algos.members import joined, part
from algos.registry import build
from bench.config.schema import Config
from bench.errors import RunError
from bench.storage.checkpoints import Checkpoint, Checkpoints
from bench.storage.files import remove_scratch, write_atomic
from bench.storage.locks import Lock
from bench.storage.rundir import FORMAT, digest_of
from bench.storage.tensors import DamagedError, pack, unpack
from bench.training import signals
from bench.training.autosave import Autosave, ChunkSize
from bench.training.device import apply_engine, arithmetic_of, build_population, processes_for
from bench.training.progress import Reporter


def _path(config: Config, dataset_digest: str, device: torch.device) -> Path:
    key = digest_of((FORMAT, config.pi_ref_algo.determinants(), dataset_digest, list(config.seeds), arithmetic_of(device, config)))
    return Path(config.results_dir) / ".pi_ref" / f"{key}.safetensors"


def _lock(path: Path) -> Lock:
    return Lock(path.parent / ".locks" / f"{path.stem}.lock")


def _is_reference(config: Config) -> bool:
    """True if the run is what would train pi_ref: BC of all data with the settings of `pi_ref`."""
    return config.algo.determinants() == config.pi_ref_algo.determinants()


@contextmanager
def share_policy(config: Config, dataset_digest: str, device: torch.device) -> Iterator[Callable[[dict[str, Tensor]], None]]:
    """Around a run: if it is itself a reference that nobody trains yet, others wait for it instead of training the same.

    Yields what shares the run's policy with them, or does nothing.
    """
    path = _path(config, dataset_digest, device) if _is_reference(config) else None
    if path is None or path.exists() or not (lock := _lock(path)).take():
        yield lambda policy: None
        return
    try:
        yield lambda policy: write_atomic(path, pack(policy))
    finally:
        lock.give_back()


def find_or_train(
    configs: Sequence[Config], data: Episodes, dataset_digest: str, device: torch.device, reporter: Reporter, parts: int = 1
) -> dict[str, Tensor]:
    """The parameters [P, ...] by name of the reference policies of all members of `configs`, which are trained together.

    Runs with the same reference share it; those that are missing are trained as one population, in `parts` parts.
    """
    paths = [_path(config, dataset_digest, device) for config in configs]

    def on_wait(holder: str) -> None:
        reporter.say(f"{reporter.label}: waiting for pi_ref, which {holder} trains")

    with ExitStack() as locks:
        # All processes take them in one order, else two could wait for each other.
        for path in sorted({p for p in paths if not p.exists()}):
            locks.enter_context(_lock(path).held(on_wait, signals.leave_if_asked))
        missing = {path: config for path, config in zip(paths, configs, strict=True) if not path.exists()}
        if missing:
            _train(missing, data, device, reporter, parts)
    found = {path: _load(path, device) for path in dict.fromkeys(paths)}
    return {name: torch.cat([found[path][name] for path in paths]) for name in found[paths[0]]}


def _train(missing: dict[Path, Config], data: Episodes, device: torch.device, reporter: Reporter, parts: int) -> None:
    """Train the references of `missing` together, from where their checkpoints stand, and leave each at its path."""
    any_config = next(iter(missing.values()))  # runs of one population have one `pi_ref`
    seeds = [seed for config in missing.values() for seed in config.seeds]

    def make(own: slice) -> Algo:
        algo = build(any_config.pi_ref_algo, data, seeds[own])
        apply_engine(algo, any_config, lambda line: None if own.start else reporter.say(f"{reporter.label}: pi_ref: {line}"))
        return algo

    algo = build_population(make, len(seeds), min(parts, len(seeds)), processes_for(any_config, device, len(seeds)))
    places, first = [], 0
    for config in missing.values():
        places.append(slice(first, first := first + len(config.seeds)))
    kept = [Checkpoints(path.parent, f"{path.stem}.training") for path in missing]
    for path in missing:
        remove_scratch(path.parent, path.stem)
    done = _go_on(algo, kept)
    autosave, stride = Autosave(any_config.trainer.checkpoint_minutes), ChunkSize()
    reporter.stage("training pi_ref", algo.updates, done)

    def save() -> None:
        for checkpoints, place in zip(kept, places, strict=True):
            checkpoints.save(done, part(algo.state, place))
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
    if len(missing) > 1:
        save()  # killed between two of the following files, the rest come from the same population
    for path, place in zip(missing, places, strict=True):
        write_atomic(path, pack(part(algo.policy(), place)))
    for checkpoints in kept:
        checkpoints.clear()


def _go_on(algo: Algo, kept: Sequence[Checkpoints]) -> int:
    """Put the newest state that all of `kept` have, if any, in place; the update at which it stands. A damaged one only costs time."""
    found = [{c.update: c.state for c in checkpoints.load() if isinstance(c, Checkpoint)} for checkpoints in kept]
    common = set.intersection(*(set(states) for states in found))
    if not common:
        return 0
    done = max(common)
    algo.state = {k: v.to(algo.device) for k, v in joined([states[done] for states in found]).items()}
    return done


def _load(path: Path, device: torch.device) -> dict[str, Tensor]:
    try:
        policy, _ = unpack(path)
    except DamagedError as error:
        raise RunError(f"{path} cannot be read ({error}); remove it and run again") from error
    return {name: value.to(device) for name, value in policy.items()}
