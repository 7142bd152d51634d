"""Training of runs: the one entry, `train_runs`."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import replace
from pathlib import Path

from algos.errors import require
from bench.config.domains import tuned_settings
from bench.config.schema import Config
from bench.storage.rundir import RunDir
from bench.training.choice import choose
from bench.training.device import current_gpu, device_of, precision_of
from bench.training.grouping import max_members, populations, split
from bench.training.population import Population, run_dir
from bench.training.progress import JobCounter, Reporter
from bench.training.run_progress import kept_of
from bench.training.shared import Shared
from bench.training.signals import deferred_signals


def train_runs(
    configs: Sequence[Config], shared: Shared, wait: bool = True, jobs: JobCounter | None = None, whole: bool = False
) -> list[Config]:
    """Train every run of `configs` to its end, from its last save on; finished runs are skipped.

    Runs that differ in seeds and batchable settings alone are trained as one population of up to `trainer.max_members` members. Each leaves
    the directory that it leaves when trained alone, but for rounding of batched arithmetic, times and `population_members` in run.json.

    Seeds that a finished run of the suite has, which differs in seeds alone, are not trained again, unless the run is to be `whole`: the
    others are a run of their own, and tables pool them.

    Runs that another process has locked are trained last, one by one, as soon as their locks are free. With `wait=False` they are returned
    instead. `jobs` numbers the runs in their labels.

    Raises ConfigError, DataError or RunError for a user's mistake, OSError for a failing disk, signals.Terminated after a signal.
    """
    for config in configs:
        require(not config.population, "population", config.population, "runs of their own (bench.training.grouping.expanded)")
    locked = []
    for similar in populations(configs):
        for group in split(similar, max_members(similar[0])):
            locked += _train_population(group, shared, wait and len(configs) == 1, jobs, whole)
    if not wait:
        return locked
    for config in locked:
        _train_population([config], shared, wait=True, whole=whole)
    return []


def train_run(config: Config, shared: Shared, jobs: JobCounter | None = None) -> RunDir:
    """`train_runs` of one whole run; returns its directory."""
    train_runs([config], shared, jobs=jobs, whole=True)
    return run_dir(config, shared)


def _train_population(
    configs: Sequence[Config], shared: Shared, wait: bool, jobs: JobCounter | None = None, whole: bool = False
) -> list[Config]:
    """Train runs as one population; returns those that another process has locked, unless `wait`."""
    config = configs[0]
    size = f" ({len(configs)} runs, {sum(len(c.seeds) for c in configs)} members)" if len(configs) > 1 else ""
    label = f"{config.algo.name} {config.task}{size}"
    label = jobs.label(label, len(configs)) if jobs else label
    device = device_of(config.device)
    with (
        Reporter(label, shared.noted) as reporter, current_gpu(device), precision_of(config, device, reporter.note), ExitStack() as locks,
    ):  # fmt: skip
        population = Population(configs, shared, reporter)
        folders = population.folders if whole else [part for folder in population.folders for part in _missing(folder, reporter)]
        unfinished, locked = _lock_unfinished(folders, wait, reporter, locks)
        if unfinished:
            if (line := choose(config, device).line()) is not None:
                reporter.note(line)
            if (tuned := tuned_settings(config)) is not None:
                reporter.note(tuned.line())
            if (strata := kept_of(config, population.data)) is not None and (line := strata.line()) is not None:
                reporter.note(f"{config.algo.name} {config.dataset}: {line}")
            if remarks := population.data.remarks:
                reporter.note(f"{config.dataset}: {remarks}")
            if clipped := population.data.clipped:
                share = f"{clipped:.2%} of action entries"
                reporter.note(f"{config.dataset}: {share} lie outside the environment's bounds and were clipped")
            with deferred_signals():
                population.train(unfinished)
    return locked


def _missing(folder: RunDir, reporter: Reporter) -> list[RunDir]:
    """The run itself if it was begun, or none of its seeds is finished; else the run of the seeds that are missing, if any."""
    if folder.config.force or folder.path.exists() or not (found := folder.portions()):
        return [folder]
    done, missing = ([s for s in folder.config.seeds if (s in found) == finished] for finished in (True, False))
    if not done:
        return [folder]
    places = ", ".join(str(path) for path in dict.fromkeys(found[seed] for seed in done))
    which = "" if not missing else f"seeds {', '.join(map(str, done))} "
    reporter.say(f"{reporter.label}: {which}finished before, see {places} (force=true runs them again)")
    return [folder.portion(missing)] if missing else []


def _lock_unfinished(folders: Sequence[RunDir], wait: bool, reporter: Reporter, locks: ExitStack) -> tuple[list[RunDir], list[Config]]:
    """Lock the runs that are not finished until `locks` ends; returns them, and those that another process has locked (unless `wait`).

    Each directory comes once: configurations that differ in settings without effect have the same one.
    """
    unfinished: dict[Path, RunDir] = {}
    locked: dict[Path, Config] = {}
    for folder in folders:
        if folder.path in unfinished or folder.path in locked:
            continue
        skip = _is_complete(folder, reporter)
        if not skip:
            if not folder.lock.take():
                if not wait:
                    reporter.say(f"{reporter.label}: {folder.lock.holder()} trains {folder.path}; retried at the end of the sweep")
                    locked[folder.path] = replace(folder.config, force=False)  # the other process does what force=true asks for
                    continue
                reporter.say(f"{reporter.label}: waiting for {folder.lock.holder()}, which trains it")
                folder.lock.wait()
                skip = folder.finished
            locks.callback(folder.lock.release)
            skip = skip or _is_complete(folder, reporter, repair=True)
        if skip:
            reporter.say(f"{reporter.label}: finished before, see {folder.path} (force=true runs it again)")
            continue
        if folder.finished and folder.config.force:
            folder.clear()
        unfinished[folder.path] = folder
    return list(unfinished.values()), list(locked.values())


def _is_complete(folder: RunDir, reporter: Reporter, repair: bool = False) -> bool:
    """True if the run is finished, its files are those that it wrote, and it need not be trained again.

    With `repair`, the caller has the lock: say which file of a finished run is damaged. Training then continues from the checkpoint, which
    writes the other files again, or starts over if the checkpoint or a kept policy is damaged.
    """
    if not folder.finished or folder.config.force:
        return False
    if not (damaged := folder.damage()):
        return True
    if repair:
        reporter.say(f"{reporter.label}: {damaged[0]}; completing the run again")
        if any("policy-" in line for line in damaged):
            folder.clear()
    return False
