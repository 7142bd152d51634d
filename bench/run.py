"""Runs: train populations, evaluate them on the way, leave a directory a run."""

from __future__ import annotations

import sys
import time
from collections.abc import Sequence
from datetime import UTC, datetime
from functools import partial
from importlib.metadata import version
from itertools import accumulate
from pathlib import Path
from typing import Any

import torch

from algos.base import Algo, State
from algos.errors import require
from algos.members import joined, part, stacked
from algos.registry import ALGOS
from bench import reference_policy
from bench.capacity import members_that_fit
from bench.config import Config
from bench.errors import RunError
from bench.execution import arithmetic, precision_of, set_engine
from bench.loggers import make_logger
from bench.population import populations, settings_of, split
from bench.progress import Reporter, next_label
from bench.resources import data_set, device_of
from bench.rundir import Row, RunDir
from bench.trainee import Trainee
from bench.training import Loop, spell
from envs.logged_data import LoggedData
from envs.revision import code_revision

PACKAGES = ("torch", "numpy", "gymnasium", "mujoco", "minari")
Saved = tuple[int, float, State, list[Row], list[Row]]  # as RunDir.resume gives it


def run(config: Config) -> RunDir:
    """Do the run of `config`, or what is left of it; a finished one is not done again.

    Raises ConfigError, DataError or RunError for what a user can mend, OSError for what the disk refuses.
    """
    return run_together([config])[0]


def run_all(configs: Sequence[Config]) -> None:
    """Do many runs: as few populations as fit the device, one after another, in the order of their first runs."""
    for kin in populations(configs):
        for group in split(kin, members_that_fit(kin) if len(kin) > 1 else 1):
            run_together(group)


def run_together(configs: Sequence[Config]) -> list[RunDir]:
    """Do the runs of `configs`, or what is left of them, as one population. They differ in seeds and batchable settings alone.

    Every run leaves the directory that it leaves when it is done alone, but for rounding of batched arithmetic, times and
    `population_members` in run.json. Raises what `run` does; a run whose parameters diverge stops no other, and is raised at the end.
    """
    require(len(populations(configs)) == 1, "population", len(configs), "runs that differ in seeds and batchable settings alone")
    config = configs[0]
    require(not config.population, "population", config.population, "runs of their own (bench.population.expanded)")
    device = device_of(config.device)
    several = f" ({len(configs)} runs, {sum(len(c.seeds) for c in configs)} members)" if len(configs) > 1 else ""
    label = next_label(f"{config.algo.name} {config.dataset}{several}", len(configs))
    with precision_of(config), Reporter(label) as reporter:
        reference_data = _reference_data(config)
        data = data_set(config.dataset, config.eval.workers)
        reference_digest = None if reference_data is None else reference_data.trajectories.digest
        folders = [RunDir(c, data.trajectories.digest, arithmetic(device, c), reference_digest) for c in configs]
        groups = _standing_alike(_waiting(folders, reporter))
        if groups and data.clipped:
            reporter.say(f"{config.dataset}: {data.clipped:.2%} of action entries lie outside the environment's bounds and were clipped")
        failed = [words for group in groups for words in _train(group, data, reference_data, device, reporter)]
    if failed:
        raise RunError("; ".join(failed))
    return folders


def _waiting(folders: Sequence[RunDir], reporter: Reporter) -> list[RunDir]:
    """Those that have something left to do, each directory once: settings without effect on a result do not make another run."""
    waiting: dict[Path, RunDir] = {}
    for folder in folders:
        if folder.finished and not folder.config.force:
            reporter.say(f"{reporter.label}: finished before, see {folder.path} (force=true runs it again)")
            continue
        if folder.config.force:
            folder.clear()
        waiting.setdefault(folder.path, folder)
    return list(waiting.values())


def _standing_alike(folders: Sequence[RunDir]) -> list[list[tuple[RunDir, Saved | None]]]:
    """Runs with what they saved, in groups that stand at the same update, the furthest first."""
    groups: dict[int, list[tuple[RunDir, Saved | None]]] = {}
    for folder in folders:
        saved = folder.resume()
        groups.setdefault(saved[0] if saved else 0, []).append((folder, saved))
    return [groups[update] for update in sorted(groups, reverse=True)]


def _train(
    group: Sequence[tuple[RunDir, Saved | None]],
    data: LoggedData,
    reference_data: LoggedData | None,
    device: torch.device,
    reporter: Reporter,
) -> list[str]:
    """Do what is left of runs that stand at the same update; what is to be said of those that failed."""
    started = time.perf_counter()
    configs = [folder.config for folder, _ in group]
    algo = _make(configs, data, reference_data, data.trajectories.to(device), device, reporter)
    set_engine(algo, configs[0], lambda line: reporter.say(f"{reporter.label}: {line}"))
    ends = list(accumulate(len(c.seeds) for c in configs))
    places = [slice(end - len(c.seeds), end) for c, end in zip(configs, ends, strict=True)]
    trainees = [Trainee(f, place, ends[-1], a) for (f, _), place, a in zip(group, places, settings_of(configs), strict=True)]
    set_up_time = time.perf_counter() - started
    for run in trainees:
        run.record = _record(run, data, device, algo, set_up_time * run.share)
        run.folder.start(run.record)
        run.logger = make_logger(run.config, run.folder)
    done = _go_on(algo, trainees, [saved for _, saved in group if saved], reporter)
    Loop(trainees, data, algo, done, reporter).run()
    policy = algo.policy()
    for run in trainees:
        if not run.failed:
            _finish(run, part(policy, run.members), algo.updates, data, device, reporter)
    return [run.failed for run in trainees if run.failed]


def _go_on(algo: Algo, trainees: Sequence[Trainee], saved: Sequence[Saved], reporter: Reporter) -> int:
    """Put what the runs saved, if anything, in place; the update at which they stand."""
    if not saved:
        return 0
    algo.state = {k: v.to(algo.device) for k, v in joined([state for _, _, state, _, _ in saved]).items()}
    for run, (_, wall_time, _, episodes, curve) in zip(trainees, saved, strict=True):
        run.wall_time, run.episodes, run.curve = wall_time, episodes, curve
    reporter.say(f"{reporter.label}: going on after update {saved[0][0]}")
    return saved[0][0]


def _finish(
    run: Trainee, policy: dict[str, torch.Tensor], updates: int, data: LoggedData, device: torch.device, reporter: Reporter
) -> None:
    """Leave the run's policy and say that it is finished."""
    reference_policy.share(run.config, data.trajectories.digest, device, policy)
    finished_at = datetime.now(UTC).strftime("%Y-%m-%d %H:%M UTC")
    run.folder.finish(run.record | {"wall_time_s": round(run.wall_time, 2), "finished_at": finished_at}, policy)
    summary = run.summary(updates, data.reference)
    if run.logger is not None:
        run.logger.finish(summary)
    reporter.say(f"{reporter.label}: {run.apart and f'{run.apart}: '}{spell(summary)}, {run.wall_time:.0f} s")


def _reference_data(config: Config) -> LoggedData | None:
    """What pi_ref is trained on, if that is not the data set itself."""
    used = config.pi_ref_dataset not in (None, config.dataset) and getattr(config.algo, "needs_pi_ref", False)
    return data_set(config.pi_ref_dataset, config.eval.workers) if used and config.pi_ref_dataset else None


def _make(
    configs: Sequence[Config],
    data: LoggedData,
    reference_data: LoggedData | None,
    trajectories: Any,
    device: torch.device,
    reporter: Reporter,
) -> Algo:
    """The method's population on its data, the members of each run in turn, with their reference policies if it needs them."""
    extra = {}
    config = configs[0]
    if getattr(config.algo, "needs_pi_ref", False):
        source, found = data, trajectories
        if reference_data is not None:
            _check_alike(config, data, reference_data)
            source, found = reference_data, reference_data.trajectories.to(device)
        digest = source.trajectories.digest
        extra["pi_ref"] = partial(reference_policy.find_or_train, configs, found, digest, device, reporter)
    members = [(c.algo, seed) for c in configs for seed in c.seeds]
    settings = stacked([algo for algo, _ in members])
    return ALGOS[type(config.algo)](settings, trajectories, [seed for _, seed in members], **extra)  # type: ignore[call-arg]


def _check_alike(config: Config, data: LoggedData, other: LoggedData) -> None:
    """Raise RunError unless a policy of `other` fits `data`."""
    shapes = [
        (d.observation_width, d.action_width, d.trajectories.num_actions, d.action_low.tolist(), d.action_high.tolist())
        for d in (data, other)
    ]
    if shapes[0] != shapes[1]:
        widths = " and ".join(f"{s[0]} x {s[1]}" for s in shapes)
        raise RunError(f"pi_ref_dataset = {config.pi_ref_dataset}: its observations and actions ({widths}) do not fit {config.dataset}")


def _record(run: Trainee, data: LoggedData, device: torch.device, algo: Algo, set_up_time: float) -> Row:
    """What run.json says: all that tables need, so that they are made of run directories alone."""
    config, reference = run.config, data.reference
    return {
        "suite": config.suite, "dataset": config.dataset, "algo": config.algo.name, "seeds": list(config.seeds),
        "updates": algo.updates, "eval_every": config.eval.every, "eval_episodes": config.eval.episodes,
        "final_episodes": config.eval.final_episodes, "last_k": config.eval.last_k,
        "reference": None if reference is None else {"name": reference.name, "random": reference.random, "expert": reference.expert},
        "note": data.note, "pi_ref_dataset": config.pi_ref_dataset,
        "data_return_mean": float(data.trajectories.returns.mean()), "clipped_actions": data.clipped,
        "config_hash": run.folder.hash, "dataset_digest": data.trajectories.digest, "code_revision": code_revision(),
        "device": torch.cuda.get_device_name(device) if device.type == "cuda" else "cpu",
        "precision": config.precision, "parameters": algo.parameters,
        "population_members": run.population, "set_up_time_s": round(set_up_time, 2),
        "versions": {"python": sys.version.split()[0], **{p: version(p) for p in PACKAGES}},
    }  # fmt: skip
