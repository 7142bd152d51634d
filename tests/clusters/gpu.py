"""Check, measure and use a GPU within a number of seconds: `make gpu SECONDS=600`, or `python -m tests.clusters.gpu STAGE... --out FOLDER`.

    works   the tests that need a GPU; bc, iw_sft_q, iql and td3_bc trained, evaluated, interrupted and resumed through the command
    speed   updates per second by engine, precision and members beside the plain loop; kernels of an update
    train   the methods that learn values, with many seeds, for as many updates as fit

Stages run in the order given. A command starts only if the time it is expected to need is left, and is stopped when the time is over; its
output is in FOLDER/NAME.log. At the end FOLDER/summary.txt says what ran, how long, and with which exit code. With `--device cpu --toy` the
same commands run in miniature on any machine.
"""

from __future__ import annotations

import argparse
import filecmp
import os
import shutil
import signal
import subprocess
import sys
import tarfile
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

HOPPER, CHEETAH, WALKER = (f"iwsft/{name}/medium-replay-v0" for name in ("hopper", "halfcheetah", "walker2d"))
VALUE_METHODS = ("iql", "td3_bc", "rebrac", "awac", "crr", "cql", "edac", "sac_n")


@dataclass
class Machine:
    """The stages' common settings, the deadline, and a line for each command that ran."""

    out: Path
    device: str
    toy: bool
    until: float
    updates: int
    seeds: int
    lines: list[str] = field(default_factory=list)

    def left(self) -> float:
        return self.until - time.monotonic()

    def say(self, line: str) -> None:
        self.lines.append(line)
        print(line, flush=True)

    def start(self, name: str, *words: str) -> subprocess.Popen[bytes]:
        """Start `python -m words...`, with its output in NAME.log."""
        with (self.out / f"{name}.log").open("ab") as log:
            return subprocess.Popen([sys.executable, "-m", *words], stdout=log, stderr=log, start_new_session=True)

    def finish(self, name: str, process: subprocess.Popen[bytes], started: float) -> int:
        """Wait for `process` until the time is over, then ask it to save and stop. Returns its exit code."""
        try:
            process.wait(max(0.0, self.left()))
        except subprocess.TimeoutExpired:
            os.killpg(process.pid, signal.SIGTERM)
            try:
                process.wait(10)
            except subprocess.TimeoutExpired:
                os.killpg(process.pid, signal.SIGKILL)
                process.wait()
        self.say(f"{name}: exit code {process.returncode}, {time.monotonic() - started:.1f} s")
        return process.returncode

    def run(self, name: str, *words: str, needs: float = 0.0) -> int | None:
        """Run a command to its end; None, with a line, if fewer than `needs` seconds are left."""
        if self.left() < needs:
            self.say(f"{name}: skipped, {self.left():.0f} s are left and it needs {needs:g} s")
            return None
        started = time.monotonic()
        return self.finish(name, self.start(name, *words), started)


def works(m: Machine) -> None:
    """The tests that need a GPU; short runs; a run interrupted by SIGTERM and resumed, beside the same run in one piece."""
    updates = 60 if m.toy else 2000
    small = [
        f"device={m.device}", "seeds=[0,1]", f"algo.updates={updates}", f"pi_ref.updates={updates}", f"eval.every={updates // 2}",
        "eval.episodes=2", "eval.final_episodes=4", *(["algo.hidden=[16,16]"] if m.toy else []),
    ]  # fmt: skip
    tests = time.monotonic()
    testing = m.start("tests", "pytest", "-q", "-p", "no:cacheprovider", "tests/algos/test_engines.py", "-k", "gpu")
    for method in ("bc", "iw_sft_q", "iql", "td3_bc"):
        m.run(f"works-{method}", "bench", f"algo={method}", f"results_dir={m.out}/results", *small, needs=20)
    m.finish("tests", testing, tests)
    folders = [m.out / name for name in ("whole", "pieces")]
    long = [x for x in small if not x.startswith(("algo.updates", "eval.every"))]
    long += [f"algo.updates={10 * updates}", f"eval.every={5 * updates}", "trainer.checkpoint_minutes=0.02"]
    m.run("whole", "bench", "algo=iql", f"results_dir={folders[0]}", *long, needs=30)
    started = time.monotonic()
    process = m.start("pieces", "bench", "algo=iql", f"results_dir={folders[1]}", *long)
    while process.poll() is None and not list(folders[1].glob("*/runs/*/checkpoint.safetensors")) and m.left() > 0:
        time.sleep(0.05)
    process.send_signal(signal.SIGTERM)
    m.finish("pieces", process, started)
    m.run("pieces", "bench", "algo=iql", f"results_dir={folders[1]}", *long, needs=20)
    pair = [next(folder.glob("*/runs/*/episodes.csv"), None) for folder in folders]
    if all(pair):
        m.say(f"interrupted and resumed: episodes are {'equal' if filecmp.cmp(*pair, shallow=False) else 'NOT equal'}")  # type: ignore[arg-type]


def speed(m: Machine) -> None:
    """The table of engines, then profiles of IQL."""
    common = [f"device={m.device}", *(["hidden=[16,16]", "batch=32"] if m.toy else [])]
    limit = max(20.0, m.left() - 60)
    toy = ["members=[1,2]", "seconds=0.1", "engines=[eager]", "precisions=[float32]"] if m.toy else []
    m.run("engines", "bench", "speed", "engines", *common, *toy, f"limit={limit:.0f}", f"out={m.out}/speed", needs=40)
    for members in (1, 64):
        m.run(f"profile-{members}", "bench", "speed", "profile", "algo=iql", f"members={members}", *common, needs=25)


def train(m: Machine) -> None:
    """The value methods on three data sets, several processes at once; each saves when the time is over."""
    cores = os.cpu_count() or 1
    at_once = 2 if m.toy else 6
    updates = 60 if m.toy else m.updates
    settings = [
        f"device={m.device}", f"seeds={list(range(m.seeds))}".replace(" ", ""), f"algo.updates={updates}",
        f"eval.every={updates // 10 or 1}", "eval.episodes=3", "eval.final_episodes=20", "eval.overlap=true",
        f"eval.workers={max(1, cores // at_once)}", f"results_dir={m.out}/results", "trainer.precision=tf32",
        *(["algo.hidden=[16,16]", "eval.final_episodes=3"] if m.toy else []),
    ]  # fmt: skip
    jobs = [(method, data) for method in (VALUE_METHODS[:2] if m.toy else VALUE_METHODS) for data in (HOPPER, CHEETAH, WALKER)]
    running: list[tuple[str, subprocess.Popen[bytes], float]] = []
    while jobs or running:
        for job in [r for r in running if r[1].poll() is not None or m.left() <= 0]:
            m.finish(*job)
            running.remove(job)
        while jobs and len(running) < at_once and m.left() > 30:
            method, data = jobs.pop(0)
            name = f"train-{method}-{data.split('/')[1]}"
            running.append((name, m.start(name, "bench", f"algo={method}", f"dataset={data}", *settings), time.monotonic()))
        if m.left() <= 30 and jobs:
            m.say(f"not started: {', '.join(f'{method} {data}' for method, data in jobs)}")
            jobs.clear()
        time.sleep(0.2)


STAGES = {"works": works, "speed": speed, "train": train}


def main(words: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("stages", nargs="*", metavar="STAGE", help=f"some of {', '.join(STAGES)}; all by default")
    parser.add_argument("--out", type=Path, default=Path("build/gpu"), help="folder of the results, emptied first (build/gpu)")
    parser.add_argument("--seconds", type=float, default=600.0, help="time for everything (600)")
    parser.add_argument("--device", default="cuda", help="cuda, or cpu to try the script (cuda)")
    parser.add_argument("--updates", type=int, default=100_000, help="updates of the stage train (100,000)")
    parser.add_argument("--seeds", type=int, default=10, help="seeds of the stage train (10)")
    parser.add_argument("--toy", action="store_true", help="miniature runs")
    a = parser.parse_args(words)
    if unknown := [s for s in a.stages if s not in STAGES]:
        parser.error(f"'{unknown[0]}' is no stage: expected some of {', '.join(STAGES)}")
    shutil.rmtree(a.out, ignore_errors=True)
    a.out.mkdir(parents=True)
    m = Machine(a.out, a.device, a.toy, time.monotonic() + a.seconds - 10, a.updates, a.seeds)  # 10 s to pack
    data_sets = (HOPPER,) if a.toy else (HOPPER, CHEETAH, WALKER)
    recording = time.monotonic()
    recorders = [(data, m.start(f"record-{data.split('/')[1]}", "bench", "inspect", data)) for data in data_sets]
    for data, process in recorders:
        m.finish(f"record {data}", process, recording)
    for name in a.stages or STAGES:
        STAGES[name](m)
    (a.out / "summary.txt").write_text("\n".join(m.lines) + "\n")
    packed = a.out.with_suffix(".tgz")
    with tarfile.open(packed, "w:gz") as tar:
        tar.add(a.out, arcname=a.out.name, filter=lambda f: None if "checkpoint" in f.name or ".pi_ref" in f.name else f)
    shutil.move(packed, a.out / "gpu.tgz")
    print(f"{a.out}/gpu.tgz", flush=True)
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
