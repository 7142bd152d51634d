"""A population: runs that are trained together, with the data, the device and the reference policies that they share."""

from __future__ import annotations

import gc
import time
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from functools import cache
from itertools import accumulate, pairwise
from typing import Any

import torch

from algos.base import Algo
from algos.members import part, stacked
from algos.registry import build
from bench.config.schema import Config
from bench.errors import RunError
from bench.storage.rundir import Resumed, RunDir
from bench.training import pi_ref
from bench.training.choice import choose
from bench.training.device import apply_engine, arithmetic_of, device_of
from bench.training.grouping import differing_settings, group_by_checkpoint
from bench.training.member_groups import out_of_memory
from bench.training.online import Online, check_online
from bench.training.parallel import build_population, processes_for
from bench.training.progress import Reporter
from bench.training.run_loop import RunLoop, spell
from bench.training.run_progress import RunInProgress
from bench.training.shared import Shared
from envs.data.logged_data import LoggedData, differences_between


def run_dir(config: Config, shared: Shared) -> RunDir:
    """The directory of a run. Loads its data, whose digests are part of the directory's name."""
    other = shared.pi_ref_data(config)
    digest = shared.run_data(config).trajectories.digest
    return RunDir(config, digest, arithmetic_of(device_of(config.device), config), None if other is None else other.trajectories.digest)


class Population:
    """The runs of `configs`, which differ in seeds and batchable settings alone.

    Raises ConfigError, DataError or RunError if they cannot be trained.
    """

    def __init__(self, configs: Sequence[Config], shared: Shared, reporter: Reporter) -> None:
        self.config = configs[0]
        self.shared, self.reporter = shared, reporter
        self.device = device_of(self.config.device)
        self.pi_ref_data = shared.pi_ref_data(self.config)
        self.data = shared.run_data(self.config)
        if self.pi_ref_data is not None:
            _check_shapes(self.config, self.data, self.pi_ref_data)
        check_online(self.config, self.data, sum(len(config.seeds) for config in configs))
        self.folders = [run_dir(config, shared) for config in configs]

    def train(self, folders: Sequence[RunDir], groups: int = 1) -> None:
        """Train the runs of `folders` to the end, each from its last save on, in `groups` groups of members in turn.

        When memory runs out, continue from the last save in twice as many groups.
        """
        for same_update in group_by_checkpoint(folders, self.reporter.say):
            members = sum(len(folder.config.seeds) for folder, _ in same_update)
            try:
                self._train_together(same_update, min(groups, members))
                continue
            except Exception as error:
                if not out_of_memory(error):
                    raise
                if groups >= members:
                    what = f"{self.config.algo.name}: out of memory with one member at a time"
                    raise RunError(f"{what}; choose a smaller batch or network, or another device") from error
            gc.collect()  # the traceback, which held tensors on the device, is gone by now
            if self.device.type == "cuda":
                torch.cuda.empty_cache()
            size = -(-members // min(2 * groups, members))
            self.reporter.say(f"{self.reporter.label}: out of memory; continuing with {size} of {members} members at a time")
            self.train([folder for folder, _ in same_update if not folder.finished], 2 * groups)

    def _train_together(self, saved: Sequence[tuple[RunDir, Resumed | None]], groups: int) -> None:
        """Train runs whose last saves are of the same update."""
        started = time.perf_counter()
        configs = [folder.config for folder, _ in saved]
        with ExitStack() as stack:
            publish = [stack.enter_context(pi_ref.publisher(c, self.data.trajectories.digest, self.device)) for c in configs]
            algo = self._build(configs, groups)
            runs = self._runs([folder for folder, _ in saved])
            set_up_time = time.perf_counter() - started
            for run in runs:
                run.start(algo, self.data, set_up_time, self.shared.take_seconds())
            loop = RunLoop(runs, algo, self.data, self.shared, self.reporter)
            if checkpoints := [checkpoint for _, checkpoint in saved if checkpoint]:
                if fault := loop.misfit(checkpoints):
                    self.reporter.say(f"{fault}; starting over")
                    for folder, _ in saved:
                        folder.checkpoints.clear()
                else:
                    loop.resume(checkpoints)
            loop.run()
            policy = algo.policy()
            for run, publish_policy in zip(runs, publish, strict=True):
                own, summary = run.policy(policy), run.summary(algo.updates, self.data.reference)
                if not run.failed:
                    publish_policy(own)
                run.finish(own, summary)
                settings = run.settings and f"{run.settings}: "
                self.reporter.say(f"{self.reporter.label}: {settings}{spell(summary)}, {run.wall_time:.0f} s")
                if (weights := run.weights()) is not None and weights.warning:
                    self.reporter.say(f"{self.reporter.label}: {settings}{weights.warning}")

    def _runs(self, folders: Sequence[RunDir]) -> list[RunInProgress]:
        """The runs with their members, which come in the order of `folders`."""
        configs = [folder.config for folder in folders]
        ends = list(accumulate((len(c.seeds) for c in configs), initial=0))
        slices = [slice(first, last) for first, last in pairwise(ends)]
        settings = differing_settings(configs)
        return [RunInProgress(f, members, ends[-1], text) for f, members, text in zip(folders, slices, settings, strict=True)]

    def _build(self, configs: Sequence[Config], groups: int) -> Algo:
        """The members of `configs` in order, with their reference policies if the method needs them."""
        config = self.config
        trajectories: Any = self.data.trajectories.to(self.device)
        find: Callable[[], dict[str, torch.Tensor]] | None = None
        if config.algo.needs_pi_ref:
            other = self.pi_ref_data
            episodes, source = (trajectories, self.data) if other is None else (other.trajectories.to(self.device), other)
            find = cache(lambda: pi_ref.find_or_train(configs, episodes, source.trajectories.digest, self.device, self.reporter, groups))
        members = [(c.algo, seed) for c in configs for seed in c.seeds]

        def make(own: slice) -> Algo:
            settings, seeds = stacked([algo for algo, _ in members[own]]), [seed for _, seed in members[own]]
            algo = build(settings, trajectories, seeds, None if find is None else lambda: part(find(), own))
            first = own.start == 0  # report a fallback once, not once per slice
            if first and config.online.steps and choose(config, self.device).engine != "eager":
                self.reporter.say(f"{self.reporter.label}: updates of the online phase are eager")
            apply_engine(algo, config, lambda line: self.reporter.say(f"{self.reporter.label}: {line}") if first else None)
            return Online(algo, config.online, self.data) if config.online.steps else algo

        return build_population(make, len(members), groups, processes_for(config, self.device, len(members)))


def _check_shapes(config: Config, data: LoggedData, other: LoggedData) -> None:
    """Raise RunError unless observations and actions of `other` have the shapes and units of those of `data`, in one environment.

    The units may differ where RescaleAction alone makes the difference: both policies act in the unit box.
    """
    shapes = [(d.observation_width, d.action_width, d.trajectories.num_actions) for d in (data, other)]
    if shapes[0] != shapes[1]:
        widths = " and ".join(f"{s[0]} x {s[1]}" for s in shapes)
        raise RunError(f"pi_ref.dataset = {config.pi_ref.dataset}: its observations and actions ({widths}) do not fit {config.dataset}")
    if differing := differences_between(data, other):
        raise RunError(f"pi_ref.dataset = {config.pi_ref.dataset}: it does not fit {config.dataset} ({differing})")
