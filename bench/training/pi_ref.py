"""pi_ref, the reference policy: trained once for a (data set, seeds, settings), and shared by every method that starts from it or weighs
by it.

<results_dir>/.pi_ref/<key>.safetensors            the policy
<results_dir>/.pi_ref/<key>.training.safetensors   a checkpoint of its training, removed at the end

The process that trains it, a BC run included, holds its lock; other processes wait for the policy. If that process dies, the next one
resumes its training.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from itertools import accumulate, pairwise
from pathlib import Path

import torch
from torch import Tensor

from algos.base import Algo, Episodes, State
from algos.members import joined, misfit, part
from algos.registry import build
from bench.config.schema import Config
from bench.storage.checkpoints import Checkpoint, Checkpoints
from bench.storage.hashes import FORMAT
from bench.storage.layout import digest_of
from bench.storage.locks import Lock
from bench.storage.tensors import DamagedError, pack, unpack
from bench.training.device import apply_engine, arithmetic_of
from bench.training.loop import Loop
from bench.training.parallel import build_population, processes_for
from bench.training.progress import Reporter
from bench.training.signals import exit_if_signalled
from envs.files import remove_scratch, write_atomic
from envs.untrusted import refuse_folder, refuse_link


def _path(config: Config, dataset_digest: str, device: torch.device) -> Path:
    """The file of the reference policy of `config`. Raises DataError for a link in the place of its folder."""
    key = digest_of(
        (FORMAT, config.pi_ref_algo.determinants(), dataset_digest, list(config.seeds), arithmetic_of(device, config, config.pi_ref_algo))
    )
    path = Path(config.results_dir) / ".pi_ref" / f"{key}.safetensors"
    refuse_link(path.parent)
    return path


def _lock(path: Path) -> Lock:
    return Lock(path.parent / ".locks" / f"{path.stem}.lock")


def _is_reference(config: Config) -> bool:
    """True if the run trains the policy that would be its pi_ref: BC on all data with the settings of `pi_ref`."""
    return config.algo.determinants() == config.pi_ref_algo.determinants()


@contextmanager
def publisher(config: Config, dataset_digest: str, device: torch.device) -> Iterator[Callable[[dict[str, Tensor]], None]]:
    """A function that publishes the run's policy as pi_ref.

    It does nothing unless the run trains a pi_ref that no process has finished or is training. Until the end of the block, other processes
    wait for that policy.
    """
    path = _path(config, dataset_digest, device) if _is_reference(config) else None
    if path is None or _whole(path) or not (lock := _lock(path)).take():
        yield lambda policy: None
        return
    try:
        yield lambda policy: write_atomic(path, pack(policy))
    finally:
        lock.release()


def find_or_train(
    configs: Sequence[Config], data: Episodes, dataset_digest: str, device: torch.device, reporter: Reporter, groups: int = 1
) -> dict[str, Tensor]:
    """Parameters [P, ...] by name of the reference policies of all members of `configs`.

    Runs with the same reference policy share it. Those that are missing or damaged are trained as one population, in `groups` groups of
    members.
    """
    paths = [_path(config, dataset_digest, device) for config in configs]

    def on_wait(holder: str) -> None:
        reporter.say(f"{reporter.label}: waiting for pi_ref, which {holder} trains")

    like = build(configs[0].pi_ref_algo, data, [0]).policy()
    sizes = {path: len(config.seeds) for path, config in zip(paths, configs, strict=True)}

    def fits(path: Path, reporter: Reporter | None = None) -> bool:
        return _whole(path, reporter, {name: value.expand(sizes[path], *value.shape[1:]) for name, value in like.items()})

    with ExitStack() as locks:
        for path in sorted({p for p in paths if not fits(p, reporter)}):  # in one order: two could wait for each other
            locks.enter_context(_lock(path).held(on_wait, exit_if_signalled))
        missing = {path: config for path, config in zip(paths, configs, strict=True) if not fits(path)}
        if missing:
            algo = _build(list(missing.values()), data, device, reporter, groups)
            PiRefLoop(algo, missing, reporter).run()
    found = {path: {name: value.to(device) for name, value in unpack(path)[0].items()} for path in dict.fromkeys(paths)}
    return {name: torch.cat([found[path][name] for path in paths]) for name in found[paths[0]]}


def _build(configs: Sequence[Config], data: Episodes, device: torch.device, reporter: Reporter, groups: int) -> Algo:
    """The population of the reference policies of `configs`, whose settings in `pi_ref` are the same."""
    seeds = [seed for config in configs for seed in config.seeds]

    def make(own: slice) -> Algo:
        algo = build(configs[0].pi_ref_algo, data, seeds[own])
        first = own.start == 0  # report a fallback once, not once per slice
        apply_engine(
            algo, configs[0], lambda line: reporter.say(f"{reporter.label}: pi_ref: {line}") if first else None, configs[0].pi_ref_algo
        )
        return algo

    return build_population(make, len(seeds), min(groups, len(seeds)), processes_for(configs[0], device, len(seeds)))


class PiRefLoop(Loop):
    """Trains the reference policies of `runs` (the policy's path and the run's configuration), whose members are those of `algo`."""

    stage = "training pi_ref"

    def __init__(self, algo: Algo, runs: dict[Path, Config], reporter: Reporter) -> None:
        super().__init__(algo, next(iter(runs.values())).trainer.checkpoint_minutes, reporter)
        self.paths = list(runs)
        self.checkpoints = [Checkpoints(path.parent, f"{path.stem}.training") for path in self.paths]
        ends = accumulate((len(config.seeds) for config in runs.values()), initial=0)
        self.slices = [slice(first, last) for first, last in pairwise(ends)]

    def run(self) -> None:
        """Train to the end, from the last checkpoint on, and write the policies."""
        for path in self.paths:
            remove_scratch(path.parent, path.stem)
        self._resume()
        self.reporter.stage(self.stage, self.algo.updates, self.done)
        self.train(self.algo.updates)
        if len(self.paths) > 1:
            self.save()  # if killed between two of the following files, the remaining ones come from the same population
        for path, members in zip(self.paths, self.slices, strict=True):
            write_atomic(path, pack(part(self.algo.policy(), members)))
        for checkpoints in self.checkpoints:
            checkpoints.clear()

    def write_checkpoint(self) -> None:
        for checkpoints, members in zip(self.checkpoints, self.slices, strict=True):
            checkpoints.save(self.done, part(self.algo.state, members))

    def _resume(self) -> None:
        """Load the latest update of which every run has an undamaged checkpoint, if any."""
        states = [part(self.algo.state, members) for members in self.slices]
        found = [
            {c.update: c.state for c in checkpoints.load() if isinstance(c, Checkpoint) and self._is_own(c, state)}
            for checkpoints, state in zip(self.checkpoints, states, strict=True)
        ]
        if common := set.intersection(*(set(states) for states in found)):
            self.done = max(common)
            self.algo.state = {k: v.to(self.algo.device) for k, v in joined([states[self.done] for states in found]).items()}

    def _is_own(self, found: Checkpoint, state: State) -> bool:
        """True if `found` is a checkpoint of this training, with the names, types and shapes of `state`."""
        return 0 <= found.update <= self.algo.updates and misfit(found.state, state) is None


def _whole(path: Path, reporter: Reporter | None = None, like: Mapping[str, Tensor] | None = None) -> bool:
    """True if `path` is a policy as it was written, with the names, types and shapes of `like`. `reporter` reports a damaged one, which is
    trained again.

    Raises DataError for a folder, which no policy could replace.
    """
    refuse_folder(path)
    try:
        found = unpack(path)[0]
        if like is not None and (fault := misfit(found, like)):
            raise DamagedError(fault)
    except FileNotFoundError:
        return False
    except DamagedError as error:
        if reporter is not None and os.path.lexists(path):
            reporter.say(f"{reporter.label}: {path} is damaged ({error}); pi_ref is trained again")
        return False
    return True
