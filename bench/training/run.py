"""Runs: train populations, evaluate them on the way, leave a directory a run."""

from __future__ import annotations

import gc
import sys
import time
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from dataclasses import replace
from datetime import UTC, datetime
from functools import cache, partial
from importlib.metadata import version
from itertools import accumulate
from pathlib import Path
from typing import Any

import torch

from algos.base import Algo
from algos.errors import require
from algos.members import stacked
from algos.registry import build
from bench.config.schema import Config
from bench.errors import RunError
from bench.loggers import make_logger
from bench.storage.rundir import Resumed, Row, RunDir, group_by_checkpoint
from bench.training import pi_ref as reference_policy
from bench.training import signals
from bench.training.capacity import members_that_fit
from bench.training.device import apply_engine, arithmetic_of, build_population, device_of, precision_of, precision_on, processes_for
from bench.training.loop import Loop, spell
from bench.training.member_groups import out_of_memory
from bench.training.population import populations, settings_of, split
from bench.training.progress import JobCounter, Reporter
from bench.training.run_progress import RunInProgress
from bench.training.shared import Shared
from envs.data.logged_data import LoggedData
from envs.revision import code_revision

PACKAGES = ("torch", "numpy", "gymnasium", "mujoco", "minari")


def train_runs(configs: Sequence[Config], shared: Shared, wait: bool = True, jobs: JobCounter | None = None) -> list[Config]:
    """Train every run of `configs` to its end, from its last save on; finished runs are skipped.

    Runs that differ in seeds and batchable settings alone are trained as one population, up to `max_members` members. Each leaves the
    directory that it leaves when trained alone, but for rounding of batched arithmetic, times and `population_members` in run.json.

    Runs that another process has locked are trained last, one by one, as soon as their locks are free. With `wait=False` they are returned
    instead. Raises ConfigError, DataError or RunError for a user's mistake, OSError for a failing disk, signals.Terminated after a signal.
    """
    for config in configs:
        require(not config.population, "population", config.population, "runs of their own (bench.training.population.expanded)")
    locked = []
    for kin in populations(configs):
        for group in split(kin, members_that_fit(kin, shared) if len(kin) > 1 else 1):
            locked += _train_population(group, shared, wait and len(configs) == 1, jobs)
    if not wait:
        return locked
    for config in locked:
        _train_population([config], shared, wait=True)
    return []


def train_run(config: Config, shared: Shared, jobs: JobCounter | None = None) -> RunDir:
    """`train_runs` of one run; returns its directory."""
    train_runs([config], shared, jobs=jobs)
    return run_dir(config, shared)


def run_dir(config: Config, shared: Shared) -> RunDir:
    """The directory of a run. Loads its data: their digests are part of its name."""
    other = shared.pi_ref_data(config)
    digest = shared.data(config.dataset, config.eval.workers).trajectories.digest
    return RunDir(config, digest, arithmetic_of(device_of(config.device), config), None if other is None else other.trajectories.digest)


def _train_population(configs: Sequence[Config], shared: Shared, wait: bool, jobs: JobCounter | None = None) -> list[Config]:
    """Train runs as one population; returns those that another process has locked, unless `wait`."""
    config = configs[0]
    device = device_of(config.device)
    several = f" ({len(configs)} runs, {sum(len(c.seeds) for c in configs)} members)" if len(configs) > 1 else ""
    label = f"{config.algo.name} {config.dataset}{several}"
    label = jobs.label(label, len(configs)) if jobs else label
    with signals.deferred_signals(), Reporter(label) as reporter, precision_of(config, device, reporter.say):
        folders = [run_dir(c, shared) for c in configs]
        data = shared.data(config.dataset, config.eval.workers)
        with ExitStack() as locks:
            todo, elsewhere = _todo(folders, wait, reporter, locks)
            if todo and data.clipped:
                share = f"{data.clipped:.2%} of action entries"
                reporter.say(f"{config.dataset}: {share} lie outside the environment's bounds and were clipped")
            _train_all(todo, data, shared, device, reporter)
    return elsewhere


def _train_all(
    folders: Sequence[RunDir], data: LoggedData, shared: Shared, device: torch.device, reporter: Reporter, parts: int = 1
) -> None:
    """Do what is left of the runs of `folders`; in twice as many parts, from the last save on, whenever memory does not suffice."""
    reference_data = shared.pi_ref_data(folders[0].config) if folders else None
    for group in group_by_checkpoint(folders, reporter.say):
        members = sum(len(folder.config.seeds) for folder, _ in group)
        try:
            _train(group, data, reference_data, shared, device, reporter, min(parts, members))
            continue
        except Exception as error:
            if not out_of_memory(error):
                raise
            if parts >= members:
                what = f"{group[0][0].config.algo.name}: out of memory with one member at a time"
                raise RunError(f"{what}; choose a smaller batch or network, or another device") from error
        gc.collect()  # now that no traceback holds what was on the device
        if device.type == "cuda":
            torch.cuda.empty_cache()
        size = -(-members // min(2 * parts, members))
        reporter.say(f"{reporter.label}: out of memory; going on with {size} of {members} members at a time")
        _train_all([folder for folder, _ in group if not folder.finished], data, shared, device, reporter, 2 * parts)


def _todo(folders: Sequence[RunDir], wait: bool, reporter: Reporter, locks: ExitStack) -> tuple[list[RunDir], list[Config]]:
    """Those that have something left to do, now locked, and those that other processes are doing.

    Each directory once: settings without effect on a result do not make another run.
    """
    todo: dict[Path, RunDir] = {}
    elsewhere: dict[Path, Config] = {}
    for folder in folders:
        if folder.path in todo or folder.path in elsewhere:
            continue
        done = folder.finished and not folder.config.force
        if not done:
            if not folder.lock.take():
                if not wait:
                    reporter.say(f"{reporter.label}: {folder.lock.holder()} does {folder.path}; looking again at the end")
                    elsewhere[folder.path] = replace(folder.config, force=False)  # it is done again there, if at all
                    continue
                reporter.say(f"{reporter.label}: waiting for {folder.lock.holder()}, which does it")
                folder.lock.wait(signals.leave_if_asked)
                done = folder.finished
            locks.callback(folder.lock.give_back)
        if done or (folder.finished and not folder.config.force):
            reporter.say(f"{reporter.label}: finished before, see {folder.path} (force=true runs it again)")
            continue
        if folder.finished:
            folder.clear()
        todo[folder.path] = folder
    return list(todo.values()), list(elsewhere.values())


def _train(
    group: Sequence[tuple[RunDir, Resumed | None]],
    data: LoggedData,
    reference_data: LoggedData | None,
    shared: Shared,
    device: torch.device,
    reporter: Reporter,
    parts: int,
) -> None:
    """Do what is left of runs that stand at the same update, their members in `parts` parts."""
    started = time.perf_counter()
    configs = [folder.config for folder, _ in group]
    with ExitStack() as share_policy:
        share = [share_policy.enter_context(reference_policy.share_policy(c, data.trajectories.digest, device)) for c in configs]
        algo = _make(configs, data, reference_data, data.trajectories.to(device), device, reporter, parts)
        ends = list(accumulate(len(c.seeds) for c in configs))
        places = [slice(end - len(c.seeds), end) for c, end in zip(configs, ends, strict=True)]
        trainees = [RunInProgress(f, place, ends[-1], a) for (f, _), place, a in zip(group, places, settings_of(configs), strict=True)]
        set_up_time = time.perf_counter() - started
        for run in trainees:
            run.record = _record(run, data, device, algo, set_up_time * run.share)
            run.folder.start(run.record)
            run.logger = make_logger(run.config, run.folder)
        loop = Loop(trainees, data, algo, shared, reporter)
        loop.go_on([saved for _, saved in group if saved])
        loop.run()
        policy = algo.policy()
        for run, leave in zip(trainees, share, strict=True):
            own = run.policy(policy)
            if not run.failed:
                leave(own)
            _finish(run, own, algo.updates, data, reporter)


def _finish(run: RunInProgress, policy: dict[str, torch.Tensor], updates: int, data: LoggedData, reporter: Reporter) -> None:
    """Leave the run's policy and say that it is finished."""
    finished_at = datetime.now(UTC).strftime("%Y-%m-%d %H:%M UTC")
    found = {"wall_time_s": round(run.wall_time, 2), "finished_at": finished_at, "failed_seeds": run.failed}
    run.folder.finish(run.record | found, policy)
    summary = run.summary(updates, data.reference)
    if run.logger is not None:
        run.logger.finish(summary)
    reporter.say(f"{reporter.label}: {run.apart and f'{run.apart}: '}{spell(summary)}, {run.wall_time:.0f} s")


def _make(
    configs: Sequence[Config],
    data: LoggedData,
    reference_data: LoggedData | None,
    trajectories: Any,
    device: torch.device,
    reporter: Reporter,
    parts: int,
) -> Algo:
    """The method's population on its data, the members of each run in turn, with their reference policies if it needs them."""
    find: Callable[[], dict[str, torch.Tensor]] | None = None
    config = configs[0]
    if config.algo.needs_pi_ref:
        source, found = data, trajectories
        if reference_data is not None:
            _check_alike(config, data, reference_data)
            source, found = reference_data, reference_data.trajectories.to(device)
        digest = source.trajectories.digest
        find = cache(partial(reference_policy.find_or_train, configs, found, digest, device, reporter, parts))
    members = [(c.algo, seed) for c in configs for seed in c.seeds]

    def make(own: slice) -> Algo:
        settings, seeds = stacked([algo for algo, _ in members[own]]), [seed for _, seed in members[own]]
        algo = build(settings, trajectories, seeds, None if find is None else lambda: {name: value[own] for name, value in find().items()})
        apply_engine(algo, config, lambda line: None if own.start else reporter.say(f"{reporter.label}: {line}"))  # once for all parts
        return algo

    return build_population(make, len(members), parts, processes_for(config, device, len(members)))


def _check_alike(config: Config, data: LoggedData, other: LoggedData) -> None:
    """Raise RunError unless a policy of `other` fits `data`."""
    shapes = [
        (d.observation_width, d.action_width, d.trajectories.num_actions, d.action_low.tolist(), d.action_high.tolist())
        for d in (data, other)
    ]
    if shapes[0] != shapes[1]:
        widths = " and ".join(f"{s[0]} x {s[1]}" for s in shapes)
        raise RunError(f"pi_ref.dataset = {config.pi_ref.dataset}: its observations and actions ({widths}) do not fit {config.dataset}")


def _record(run: RunInProgress, data: LoggedData, device: torch.device, algo: Algo, set_up_time: float) -> Row:
    """What run.json says: all that tables need, so that they are made of run directories alone."""
    config, reference = run.config, data.reference
    return {
        "suite": config.suite, "dataset": config.dataset, "algo": config.algo.name, "seeds": list(config.seeds),
        "updates": algo.updates, "eval_every": config.eval.every, "eval_episodes": config.eval.episodes,
        "final_episodes": config.eval.final_episodes, "last_k": config.eval.last_k,
        "reference": None if reference is None else {"name": reference.name, "random": reference.random, "expert": reference.expert},
        "environment": {
            "spec": data.env_spec, "observation_width": data.observation_width, "action_width": data.action_width,
            "num_actions": data.trajectories.num_actions,
            "action_low": data.action_low.tolist(), "action_high": data.action_high.tolist(),
        },
        "note": data.note, "pi_ref_dataset": config.pi_ref.dataset,
        "data_return_mean": float(data.trajectories.returns.mean()), "clipped_actions": data.clipped,
        "config_hash": run.folder.hash, "dataset_digest": data.trajectories.digest, "code_revision": code_revision(),
        "device": torch.cuda.get_device_name(device) if device.type == "cuda" else "cpu",
        "precision": precision_on(device, config.trainer.precision), "parameters": algo.parameters,
        "population_members": run.population, "set_up_time_s": round(set_up_time, 2),
        "mixed": config.report.mixed, "published": config.report.published,
        "versions": {"python": sys.version.split()[0], **{p: version(p) for p in PACKAGES}},
    }  # fmt: skip
