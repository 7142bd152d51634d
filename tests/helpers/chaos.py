"""`make chaos`: inject faults into real runs, and compare their files with those of undisturbed runs.

    fault                             times  rows lost  results changed
    killed at a random moment           200          0                0
    ...

Forks of this process train tiny networks on a small data set, so that a kill costs a tenth of a second. Kills are SIGKILLs, failing
writes are failing system calls. Only the evaluation is replaced: environments are stepped in the same process, by the code of the
evaluation's workers.
"""

from __future__ import annotations

import argparse
import errno
import os
import resource
import shutil
import signal
import sys
import tempfile
import time
import traceback
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager, redirect_stderr
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pandas as pd
import torch

from algos.methods.weighted_bc import Curation, Kind, Start, WeightedBC, WeightedBCConfig, Weighting
from bench.config.mistakes import MISTAKES, explain
from bench.config.schema import Config, EvalConfig, PiRefConfig, TrainerConfig
from bench.errors import EXIT_RETRY
from bench.report.suite import rebuild
from bench.storage import locks
from bench.storage.rundir import RunDir, read_csv
from bench.storage.tensors import unpack
from bench.training.parallel import MemberProcesses
from bench.training.population import run_dir
from bench.training.run import train_runs
from bench.training.shared import Shared
from envs import files
from envs.evaluation import rollout, worker
from tests.helpers.episodes import random_episodes, write_minari

ID = "test/pendulum/random-v0"
ROWS = ("update", "seed", "episode")


class Outcome(NamedTuple):
    """A line of the table."""

    fault: str
    times: int
    lost: int  # rows that are missing or doubled
    changed: int  # rows, tensors and files that differ from the undisturbed run's


class InProcess:
    """An evaluator in this process: the same slots for environments, without worker processes."""

    between_episodes = True

    def __init__(self, env_spec: str) -> None:
        self.spec = env_spec
        self.slots: list[worker.Slot] = []

    def run(self, act: rollout.Act, seeds: np.ndarray, on_step: Callable[[], None]) -> rollout.Returns:
        self.slots += [worker.Slot(self.spec) for _ in range(len(seeds) - len(self.slots))]
        active = self.slots[: len(seeds)]
        observations = np.stack([slot.start(row.tolist()) for slot, row in zip(active, seeds, strict=True)]).astype(np.float32)
        while any(slot.running for slot in active):
            current = [row[min(len(slot.results), len(row) - 1)] for slot, row in zip(active, seeds, strict=True)]
            actions = act(observations, rollout.Moments(np.array(current), np.array([slot.length for slot in active])))
            for i, slot in enumerate(active):
                if slot.running:
                    observations[i] = slot.step(actions[i])
            on_step()
        returns, lengths, successes = np.moveaxis(np.array([slot.results for slot in active], np.float64), 2, 0)
        return rollout.Returns(returns, lengths.astype(np.int64), successes)

    def close(self) -> None: ...


shared = Shared(open_evaluator=lambda env_spec, workers: InProcess(env_spec))  # type: ignore[arg-type, return-value]


def small(folder: Path, name: str = "iw_sft_q", seeds: Sequence[int] = (3, 1), updates: int = 40, processes: int = 1) -> Config:
    """A run with every kind of state: pi_ref, Adam, q, a table of weights; saved after every chunk of updates."""
    kind = {"bc": Kind.none, "sft": Kind.none, "iw_sft": Kind.step, "iw_sft_q": Kind.trajectory}[name]
    algo = WeightedBCConfig(
        name, 20 if name == "bc" else updates, 16, [8], Start.random if name == "bc" else Start.pi_ref,
        curation=Curation([] if name == "bc" else [50, 75]), weighting=Weighting(kind, temperature=2.0, refresh_every=7),
    )  # fmt: skip
    evaluation = EvalConfig(15, 1, 2, workers=1)
    return Config(
        algo, ID, seeds=list(seeds), eval=evaluation, results_dir=str(folder), device="cpu",
        pi_ref=PiRefConfig(20, batch_size=16), trainer=TrainerConfig(processes=processes, checkpoint_minutes=0.0),
    )  # fmt: skip


# The content of runs.


def content_of(folder: RunDir) -> dict[str, Any]:
    """Rows, parameters, optimiser, averages and counters of a run, by name."""
    state, about = unpack(folder.path / "checkpoint.safetensors")
    policy, _ = unpack(folder.path / "policy.safetensors")
    tensors = {**state, **{f"policy/{k}": v for k, v in policy.items()}}
    rows = {name: (folder.path / name).read_text() for name in ("episodes.csv", "curve.csv")}
    extra = {f"file {p.name}": True for p in folder.path.iterdir()}
    return {**rows, **{k: v.numpy().tobytes() for k, v in tensors.items()}, "update": about["update"], **extra}


@dataclass
class Comparison:
    """Counters of rows and content that runs lost or changed, against the undisturbed run."""

    whole: dict[str, Any]
    rows: Counter[tuple[str, ...]]
    lost: int = 0
    changed: int = 0

    def add(self, folder: RunDir) -> None:
        found = content_of(folder)
        rows = Counter(tuple(r[c] for c in ROWS) for r in read_csv(folder.path / "episodes.csv"))
        self.lost += sum(abs(rows[k] - self.rows[k]) for k in rows | self.rows)
        self.changed += sum(found.get(k) != self.whole.get(k) for k in found.keys() | self.whole.keys())


def comparison(whole: RunDir) -> Comparison:
    return Comparison(content_of(whole), Counter(tuple(r[c] for c in ROWS) for r in read_csv(whole.path / "episodes.csv")))


# Processes that may die.


def fork(work: Callable[[], None]) -> int:
    """Fork a process that runs `work` and exits with its exit code; return its pid."""
    sys.stdout.flush()
    if child := os.fork():
        return child
    code = 1
    try:
        os.dup2(os.open(os.devnull, os.O_WRONLY), 2)
        work()
        code = 0
    except SystemExit as leaving:
        code = int(leaving.code or 0)
    except MISTAKES as error:
        code = 2 if "\n" not in explain(error) else 1
    except BaseException:
        traceback.print_exc(file=sys.stdout)
    finally:
        sys.stdout.flush()
        os._exit(code)


def exit_code(child: int) -> int:
    """Wait for `child` and return its exit code, minus the signal's number if a signal killed it."""
    return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])


def until_done(config: Config, disturb: Callable[[int], None] = lambda attempt: None, allowed: Sequence[int] = (0,)) -> int:
    """Repeat the run in forks, each of which calls `disturb` first, until it is finished; returns the number of interrupted forks."""
    for attempt in range(1000):

        def work(attempt: int = attempt) -> None:
            disturb(attempt)
            train_runs([config], shared)

        code = exit_code(fork(work))
        if code == 0 and run_dir(config, shared).finished:
            return attempt
        if code not in allowed:
            raise SystemExit(f"a run left with exit code {code}; expected one of {tuple(allowed)}")
    raise SystemExit(f"a run was not finished after {attempt} attempts")


def kill_after(seconds: float, number: int = signal.SIGKILL) -> None:
    """Send signal `number` to this process in `seconds`, from a fork that sleeps."""
    parent = os.getpid()
    if os.fork() == 0:
        time.sleep(seconds)
        if os.getppid() == parent:
            os.kill(parent, number)
        os._exit(0)


# The faults.


def killed_at_random(folder: Path, whole: RunDir, times: int, number: int = signal.SIGKILL, processes: int = 1) -> Outcome:
    """SIGKILL, or a scheduler's signal, at `times` moments spread over runs, whose members `processes` train."""
    rng, found, count, runs = np.random.default_rng(number), comparison(whole), 0, 0
    started = time.perf_counter()
    until_done(small(folder / "timed", processes=processes))
    longest = time.perf_counter() - started
    allowed = (-signal.SIGKILL,) if number == signal.SIGKILL else (EXIT_RETRY, -number)
    while count < times:
        config = small(folder / f"run-{runs}", processes=processes)
        draws = rng.uniform(0, longest * 0.8, times - count)

        def disturb(attempt: int, draws: Any = draws) -> None:
            if attempt < len(draws):
                kill_after(float(draws[attempt]), number)

        count += until_done(config, disturb, allowed)
        found.add(run_dir(config, shared))
        shutil.rmtree(config.results_dir)
        runs += 1
    name = "killed (SIGKILL) at a random moment" if number == signal.SIGKILL else f"{signal.Signals(number).name} at a random moment"
    return Outcome(name if processes == 1 else f"{name}, worker processes", count, found.lost, found.changed)


def trainers_killed(folder: Path, whole: RunDir, times: int) -> Outcome:
    """One of two worker processes is killed, as the kernel does when memory runs out; the run continues without worker processes."""
    found, train, killed = comparison(whole), MemberProcesses.train, 0
    for k in range(times):
        update = int(np.linspace(1, 39, times)[k])

        def struck(self: MemberProcesses, start: int, stop: int, update: int = update) -> Any:
            nonlocal killed
            if self.workers and self.updates == 40 and stop > update:
                os.kill(self.workers[update % 2].pid, signal.SIGKILL)
                killed += 1
            return train(self, start, stop)

        config = small(folder / f"run-{k}", processes=2)
        with replaced(MemberProcesses, "train", struck):
            train_runs([config], shared)
        found.add(run_dir(config, shared))
    return Outcome("a worker process is killed, the run continues", killed, found.lost, found.changed)


STEPS = ("open", "fsync", "replace")


@contextmanager
def at_file_operation(number: int, act: Callable[[], None]) -> Iterator[list[int]]:
    """Call `act` before file operation `number`; yield a list with an element for every operation so far."""
    originals = {name: getattr(files.os, name) for name in STEPS}
    steps: list[int] = []

    def watched(name: str) -> Callable[..., Any]:
        def call(*arguments: Any, **more: Any) -> Any:
            if name == "open" and not arguments[1] & (os.O_WRONLY | os.O_RDWR):
                return originals[name](*arguments, **more)  # to read, or to flush a folder
            if len(steps) == number:
                steps.append(0)
                act()
            steps.append(0)
            return originals[name](*arguments, **more)

        return call

    try:
        for name in STEPS:
            setattr(files.os, name, watched(name))
        yield steps
    finally:
        for name, original in originals.items():
            setattr(files.os, name, original)


def file_operations(folder: Path) -> int:
    """The number of file operations of a run."""
    with at_file_operation(-1, lambda: None) as steps:
        train_runs([small(folder / "counted")], shared)
    return len(steps)


def killed_at_every_write(folder: Path, whole: RunDir, times: int) -> Outcome:
    """SIGKILL before `times` of the steps in which files are written, flushed and renamed, evenly spread."""
    found, cut, kept = comparison(whole), 0, ExitStack()
    steps = np.unique(np.linspace(0, file_operations(folder) - 1, times).astype(int))
    for step in steps.tolist():
        config = small(folder / f"run-{step}")

        def disturb(attempt: int, step: int = step) -> None:
            if attempt == 0:
                kept.enter_context(at_file_operation(step, lambda: os.kill(os.getpid(), signal.SIGKILL)))

        cut += until_done(config, disturb, (-signal.SIGKILL,))
        found.add(run_dir(config, shared))
        shutil.rmtree(config.results_dir)
    return Outcome("killed between two steps of a write", cut, found.lost, found.changed)


def failing_writes(folder: Path, whole: RunDir, times: int, number: int, name: str) -> Outcome:
    """A file operation fails once: the command reports it in one line with exit code 2, and the next command resumes."""
    found, cut, kept = comparison(whole), 0, ExitStack()
    steps = np.unique(np.linspace(0, file_operations(folder) - 1, times).astype(int))
    for step in steps.tolist():
        config = small(folder / f"run-{step}")

        def fail() -> None:
            raise OSError(number, os.strerror(number))

        def disturb(attempt: int, step: int = step) -> None:
            if attempt == 0:
                kept.enter_context(at_file_operation(step, fail))

        cut += until_done(config, disturb, (2,))
        found.add(run_dir(config, shared))
        shutil.rmtree(config.results_dir)
    return Outcome(name, cut, found.lost, found.changed)


def file_too_large(folder: Path, whole: RunDir, times: int) -> Outcome:
    """The system refuses to let a file grow in the middle of a write, as with a quota, which leaves partial files."""
    found, cut = comparison(whole), 0
    for k in range(times):
        config = small(folder / f"run-{k}")

        def disturb(attempt: int, size: int = 300 + 400 * k) -> None:
            if attempt == 0:
                resource.setrlimit(resource.RLIMIT_FSIZE, (size, size))

        cut += until_done(config, disturb, (2,))
        found.add(run_dir(config, shared))
        shutil.rmtree(config.results_dir)
    return Outcome("disk full in the middle of a file (quota)", cut, found.lost, found.changed)


def read_only(folder: Path, whole: RunDir) -> Outcome:
    """The folder of results is read-only during the first attempt."""
    found = comparison(whole)
    config = small(folder)
    folder.mkdir()

    def disturb(attempt: int) -> None:
        if attempt == 0:
            os.chmod(folder, 0o500)
            if os.geteuid() == 0:  # permissions do not hold for a superuser
                os.setgid(65534)
                os.setuid(65534)

    cut = until_done(config, disturb, (2,))
    os.chmod(folder, 0o700)
    found.add(run_dir(config, shared))
    return Outcome("read-only folder", cut, found.lost, found.changed)


def failing_member(folder: Path, whole: RunDir, times: int) -> Outcome:
    """One member's parameters become NaN at some update: the run marks that member as failed, and the other is unchanged."""
    lost = changed = 0
    before = read_csv(whole.path / "episodes.csv")
    for k in range(times):
        config, update = small(folder / f"run-{k}"), int(np.linspace(1, 39, times)[k])
        train = WeightedBC.train

        def poisoned(self: WeightedBC, start: int, stop: int, update: int = update, train: Any = train) -> Any:
            found = train(self, start, stop)
            if self.config.name != "bc" and start <= update < stop:
                self.state["policy"][0] = float("nan")
            return found

        with replaced(WeightedBC, "train", poisoned):
            train_runs([config], shared)
        found = run_dir(config, shared)
        rows = read_csv(found.path / "episodes.csv")
        lost += len(before) != len(rows)
        changed += [r for r in rows if r["seed"] == "1"] != [r for r in before if r["seed"] == "1"]
        changed += not all(r["return"] == "nan" for r in rows if r["seed"] == "3" and int(r["update"]) > update)
        policies = [unpack(f.path / "policy.safetensors")[0] for f in (whole, found)]
        changed += sum(not torch.equal(policies[0][name][1], policies[1][name][1]) for name in policies[0])
    return Outcome("NaN in one member (the others compared)", times, lost, changed)


def out_of_memory(folder: Path, whole: RunDir, times: int) -> Outcome:
    """Memory runs out with two members at some update: they are trained one after the other. Results are equal up to rounding."""
    lost = changed = 0
    before = read_csv(whole.path / "episodes.csv")
    for k in range(times):
        config, update = small(folder / f"run-{k}"), int(np.linspace(1, 39, times)[k])
        train = WeightedBC.train

        def limited(self: WeightedBC, start: int, stop: int, update: int = update, train: Any = train) -> Any:
            if self.members > 1 and stop > update:
                raise torch.OutOfMemoryError("CUDA out of memory.")
            return train(self, start, stop)

        with replaced(WeightedBC, "train", limited):
            train_runs([config], shared)
        found = run_dir(config, shared)
        rows = read_csv(found.path / "episodes.csv")
        lost += [tuple(r[c] for c in ROWS) for r in rows] != [tuple(r[c] for c in ROWS) for r in before]
        policies = [unpack(f.path / "policy.safetensors")[0] for f in (whole, found)]
        changed += sum(not torch.allclose(policies[0][n], policies[1][n], rtol=1e-4, atol=1e-5) for n in policies[0])
    return Outcome("out of memory: halved and retried", times, lost, changed)


def jumping_clock(folder: Path, whole: RunDir, times: int) -> Outcome:
    """The wall clock jumps by up to a year whenever it is read."""
    found, clock = comparison(whole), time.time
    rng = np.random.default_rng(0)
    for k in range(times):
        with replaced(time, "time", lambda: clock() + float(rng.uniform(-3e7, 3e7))):
            config = small(folder / f"run-{k}")
            train_runs([config], shared)
        found.add(run_dir(config, shared))
    return Outcome("clock jumps", times, found.lost, found.changed)


def damaged_checkpoints(folder: Path, whole: RunDir, times: int) -> Outcome:
    """A byte of the newest checkpoint, or of a table, changes while the run is interrupted."""
    found, rng, flipped = comparison(whole), np.random.default_rng(1), 0
    for k in range(times):
        config = small(folder / f"run-{k}")
        left = run_dir(config, shared)

        def interrupted(config: Config = config, update: int = int(rng.integers(1, 40))) -> None:
            train = WeightedBC.train

            def stops(self: WeightedBC, start: int, stop: int) -> Any:
                if self.config.name != "bc" and stop >= update:
                    os.kill(os.getpid(), signal.SIGKILL)
                return train(self, start, stop)

            WeightedBC.train = stops  # type: ignore[method-assign]
            train_runs([config], shared)

        exit_code(fork(interrupted))
        there = [p for p in (left.checkpoints.newest, left.path / "episodes.csv", left.path / "curve.csv") if p.exists()]
        if there:  # none if the run was killed before its first save
            flipped += 1
            path = there[k % len(there)]
            content = bytearray(path.read_bytes())
            content[int(rng.integers(len(content)))] ^= 1 << int(rng.integers(7))
            path.write_bytes(content)
        until_done(config)
        found.add(left)
        shutil.rmtree(config.results_dir)
    return Outcome("a bit flips in a checkpoint or a table", flipped, found.lost, found.changed)


def damaged_cache(folder: Path, whole: RunDir, times: int) -> Outcome:
    """A bit of the cached data set changes: the reader reports it and reads the data again."""
    found, rng = comparison(whole), np.random.default_rng(2)
    root = Path(os.environ["MINARI_DATASETS_PATH"]) / ".cache"
    for k in range(times):
        arrays = sorted(p for p in root.rglob("*") if p.is_file() and p.parent.name != "random")
        path = arrays[k % len(arrays)]
        content = bytearray(path.read_bytes())
        content[int(rng.integers(len(content) // 2, len(content)))] ^= 1 << int(rng.integers(7))
        path.write_bytes(content)
        config = small(folder / f"run-{k}")

        def fresh(attempt: int) -> None:
            shared.close()

        until_done(config, fresh)
        found.add(run_dir(config, shared))
    return Outcome("a bit flips in the data cache", times, found.lost, found.changed)


@contextmanager
def replaced(where: Any, name: str, value: Any) -> Iterator[None]:
    original = getattr(where, name)
    setattr(where, name, value)
    try:
        yield
    finally:
        setattr(where, name, original)


def many_processes(folder: Path, processes: int, count: int, kills: int) -> Outcome:
    """`processes` processes train the same `count` runs in one folder, each in its own order, and are killed at random; each rebuilds the
    tables at its end. Every row must exist once, and the runs must equal those trained by one process."""
    names = ("bc", "sft", "iw_sft", "iw_sft_q")
    configs = [replace(small(folder, names[k % 4], [k // 4], updates=20), trainer=TrainerConfig(processes=1)) for k in range(count)]
    rng = np.random.default_rng(4)
    locks.POLL = 0.02

    def start(number: int) -> int:
        order = np.random.default_rng(number).permutation(count)

        def work() -> None:
            locked = [left for k in order for left in train_runs([configs[k]], shared, wait=False)]
            for config in locked:
                train_runs([config], shared)
            rebuild(folder / "single", page=False)

        return fork(work)

    alive = {start(number) for number in range(processes)}
    killed = 0
    while alive:
        time.sleep(float(rng.uniform(0.05, 0.5)))
        for child in list(alive):
            done, status = os.waitpid(child, os.WNOHANG)
            if done:
                alive.remove(child)
                if (code := os.waitstatus_to_exitcode(status)) not in (0, -signal.SIGKILL):
                    raise SystemExit(f"one of {processes} processes left with exit code {code}")
        if killed < kills and len(alive) > 1:
            child = sorted(alive)[int(rng.integers(len(alive)))]
            os.kill(child, signal.SIGKILL)
            os.waitpid(child, 0)
            alive.remove(child)
            killed += 1
            alive.add(start(processes + killed))
    table = pd.read_csv(folder / "single" / "scores.csv")
    rows = Counter(zip(table["algo"], table["seed"], table["update"], table["episode"], strict=True))
    expected = {(c.algo.name, c.seeds[0], u, e) for c in configs for u, episodes in ((15, 1), (20, 2)) for e in range(episodes)}
    lost = sum(abs(rows[row] - (row in expected)) for row in {*rows, *expected})
    lost += len([p for p in folder.rglob(".*") if files.SCRATCH.fullmatch(p.name)])  # files of released locks may stay
    alone = [replace(c, results_dir=str(folder / "alone")) for c in configs[:: max(1, count // 12)]]
    for config in alone:
        train_runs([config], shared)
    pairs = ((run_dir(a, shared), run_dir(b, shared)) for a, b in zip(alone, configs[:: max(1, count // 12)], strict=True))
    changed = sum(content_of(a) != content_of(b) for a, b in pairs)
    return Outcome(f"{processes} processes x {count} runs in one folder, killed", killed, lost, changed)


# The table.


def faults(folder: Path, share: float) -> Iterator[Outcome]:
    """Inject all faults, each a `share` of its usual number of times; yield the lines of the table."""

    def n(usual: int) -> int:
        return max(1, round(usual * share))

    whole_config = small(folder / "whole")
    train_runs([whole_config], shared)
    whole = run_dir(whole_config, shared)
    yield killed_at_random(folder / "a", whole, n(200))
    yield killed_at_every_write(folder / "b", whole, n(60))
    yield killed_at_random(folder / "c", whole, n(30), signal.SIGTERM)
    yield killed_at_random(folder / "d", whole, n(30), signal.SIGUSR1)
    yield failing_writes(folder / "e", whole, n(40), errno.ENOSPC, "disk full at a step of a write")
    yield file_too_large(folder / "f", whole, n(12))
    yield read_only(folder / "g", whole)
    yield failing_member(folder / "h", whole, n(10))
    yield out_of_memory(folder / "i", whole, n(10))
    yield jumping_clock(folder / "j", whole, n(5))
    yield damaged_checkpoints(folder / "k", whole, n(30))
    yield damaged_cache(folder / "l", whole, n(12))
    workers_config = small(folder / "workers", processes=2)
    train_runs([workers_config], shared)
    workers = run_dir(workers_config, shared)
    yield killed_at_random(folder / "o", workers, n(60), processes=2)
    yield trainers_killed(folder / "p", workers, n(20))
    yield many_processes(folder / "m", 2, n(20), n(4))
    yield many_processes(folder / "n", 8, n(200), n(24))


def main() -> None:
    parser = argparse.ArgumentParser(description="Inject faults into real runs and count what is lost or changed.")
    parser.add_argument("--share", type=float, default=1.0, help="of the usual number of faults")
    share = parser.parse_args().share
    torch.set_num_threads(1)
    memory = Path("/dev/shm")  # flushing to a disk would take most of the time and test no more
    with tempfile.TemporaryDirectory(prefix="chaos-", dir=memory if os.access(memory, os.W_OK) else None) as scratch:
        folder = Path(scratch)
        os.chmod(folder, 0o755)
        os.environ["MINARI_DATASETS_PATH"] = str(folder / "minari")
        (folder / "minari").mkdir()
        write_minari(ID, random_episodes(30, obs=4, act=1), ref_min_score=5.0, ref_max_score=1000.0)
        print(f"{'fault':<52} {'times':>5} {'rows lost':>9} {'results changed':>15} {'seconds':>8}", flush=True)
        bad = 0
        begun = time.perf_counter()
        with open(folder / "log", "w") as log, redirect_stderr(log):
            for outcome in faults(folder, share):
                now = time.perf_counter()
                print(f"{outcome.fault:<52} {outcome.times:>5} {outcome.lost:>9} {outcome.changed:>15} {now - begun:>8.1f}", flush=True)
                begun = now
                bad += outcome.lost + outcome.changed
    sys.exit(1 if bad else 0)


if __name__ == "__main__":
    main()
