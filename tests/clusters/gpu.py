"""Check, measure and use a GPU within a number of seconds: `make gpu SECONDS=600`, or `python -m tests.clusters.gpu STAGE... --out FOLDER`.

    works   the tests that need a GPU; bc, iw_sft_q, iql and td3_bc trained, evaluated, interrupted and resumed through the command
    speed   updates per second by engine, precision and members beside the plain loop; kernels of an update
    train   methods that learn values and whose updates are slow on a CPU, with many seeds, on three data sets, as many runs as fit

Stages run in the order given. A command starts only if the time it is expected to need is left, and is stopped when the time is over; its
output is in FOLDER/NAME.log. At the end FOLDER/summary.txt says what ran, how long, and with which exit code, and archives are packed.
With `--device cpu --toy` the
same commands run in miniature on any machine.
"""

from __future__ import annotations

import argparse
import filecmp
import json
import os
import shutil
import signal
import subprocess
import sys
import tarfile
import time
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from pathlib import Path

HOPPER = "iwsft/hopper/medium-replay-v0"
MIXED = tuple(f"iwsft/{name}/mixed-v0" for name in ("hopper", "walker2d", "halfcheetah"))
SHARES = {"iql": 1.0, "td3_bc": 1.0, "rebrac": 0.4, "cql": 0.3}
"""Methods of the stage train, with the share of --updates that each does: updates of the last ones cost several times more."""
RECORDING = 90.0  # seconds at most for recording a data set; the others are used without it
AT_ONCE = 4  # processes that share the GPU


@dataclass
class Machine:
    """The stages' common settings, the deadline, and a line for each command that ran."""

    out: Path
    device: str
    toy: bool
    until: float
    updates: int
    seeds: int
    measured: float
    measure: tuple[str, ...]
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

    def finish(self, name: str, process: subprocess.Popen[bytes], started: float, within: float = float("inf")) -> int:
        """Wait for `process` until it has run `within` seconds or the time is over, then ask it to save and stop. Returns its exit code."""
        try:
            process.wait(max(0.0, min(self.left(), started + within - time.monotonic())))
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
    limit = max(20.0, min(m.measured, m.left() - 60))
    toy = ["members=[1,2]", "seconds=0.1", "engines=[eager]", "precisions=[float32]"] if m.toy else []
    m.run("engines", "bench", "speed", "engines", *common, *toy, f"limit={limit:.0f}", *m.measure, f"out={m.out}/speed", needs=40)
    for members in (1, 64) if m.measured > 120 else ():
        m.run(f"profile-{members}", "bench", "speed", "profile", "algo=iql", f"members={members}", *common, needs=25)


def shared_gpu(m: Machine) -> bool:
    """Start CUDA's multi-process service, so that kernels of several processes run side by side; False where it cannot be had."""
    folder = m.out / "mps"
    folder.mkdir(exist_ok=True)
    service = {"CUDA_MPS_PIPE_DIRECTORY": str(folder), "CUDA_MPS_LOG_DIRECTORY": str(folder)}
    if m.device != "cuda" or shutil.which("nvidia-cuda-mps-control") is None:
        return False
    check = [sys.executable, "-c", "import torch; torch.ones(8, device='cuda').sum().item()"]
    try:
        subprocess.run(["nvidia-cuda-mps-control", "-d"], env=os.environ | service, timeout=20, check=True)
        subprocess.run(check, env=os.environ | service, timeout=60, check=True, capture_output=True)
    except (OSError, subprocess.SubprocessError) as error:
        m.say(f"no multi-process service: {error}")
        return False
    os.environ |= service
    return True


def train(m: Machine) -> None:
    """Several runs at once. A run starts only if the longest one so far would still fit; each saves if the time is over before its end."""
    cores = os.cpu_count() or 1
    m.say(f"multi-process service: {shared_gpu(m)}")

    def words(method: str, data: str) -> list[str]:
        updates = 60 if m.toy else int(m.updates * SHARES[method])
        return [
            f"algo={method}", f"dataset={data}", f"device={m.device}", "seeds=[" + ",".join(map(str, range(m.seeds))) + "]",
            f"algo.updates={updates}", f"eval.every={updates // 10}", "eval.episodes=3", "eval.final_episodes=20", "eval.overlap=true",
            f"eval.workers={max(1, cores // AT_ONCE)}", f"results_dir={m.out}/results", "trainer.precision=tf32",
            *(["algo.hidden=[16,16]", "eval.final_episodes=3", "trainer.precision=float32"] if m.toy else []),
        ]  # fmt: skip

    jobs = [(method, data) for data in (MIXED[:1] if m.toy else MIXED) for method in SHARES]
    running: list[tuple[str, subprocess.Popen[bytes], float]] = []
    longest = 30.0
    while jobs or running:
        for job in [r for r in running if r[1].poll() is not None or m.left() <= 0]:
            m.finish(*job)
            longest = max(longest, time.monotonic() - job[2])
            running.remove(job)
        while jobs and len(running) < AT_ONCE and m.left() > longest:
            method, data = jobs.pop(0)
            name = f"train-{method}-{data.split('/')[1]}"
            running.append((name, m.start(name, "bench", *words(method, data)), time.monotonic()))
        if jobs and m.left() <= longest:
            m.say(f"not started: {', '.join(f'{method} {data}' for method, data in jobs)}")
            jobs.clear()
        time.sleep(0.2)


def pack(out: Path) -> None:
    """Archives in `out`, small enough to carry: gpu.tgz without policies and checkpoints, and policies-METHOD.tgz for each method."""

    def whole(name: str, files: Iterable[Path]) -> None:
        with tarfile.open(out / name, "w:gz") as tar:
            for path in sorted(files):
                tar.add(path, arcname=path.relative_to(out.parent), recursive=False)

    files = [p for p in out.rglob("*") if p.is_file()]
    small = [p for p in files if p.suffix not in (".safetensors", ".tgz") and "mps" not in p.parts]
    policies: dict[str, list[Path]] = {}
    for path in files:
        if path.name == "policy.safetensors":
            policies.setdefault(json.loads((path.parent / "run.json").read_text()).get("algo", "method"), []).append(path)
    whole("gpu.tgz", small)
    for method, paths in policies.items():
        whole(f"policies-{method}.tgz", paths)
    print(*sorted(p.name for p in out.glob("*.tgz")), flush=True)


STAGES = {"works": works, "speed": speed, "train": train}


def main(words: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("stages", nargs="*", metavar="STAGE", help=f"some of {', '.join(STAGES)}; all by default")
    parser.add_argument("--out", type=Path, default=Path("build/gpu"), help="folder of the results, emptied first (build/gpu)")
    parser.add_argument("--seconds", type=float, default=600.0, help="time for everything (600)")
    parser.add_argument("--device", default="cuda", help="cuda, or cpu to try the script (cuda)")
    parser.add_argument("--updates", type=int, default=100_000, help="updates of the stage train (100,000)")
    parser.add_argument("--seeds", type=int, default=10, help="seeds of the stage train (10)")
    parser.add_argument("--measured", type=float, default=240.0, help="seconds of the stage speed; profiles from 120 on (240)")
    parser.add_argument("--measure", nargs="*", default=[], metavar="KEY=VALUE", help="settings of `bench speed engines`")
    parser.add_argument("--toy", action="store_true", help="miniature runs")
    a = parser.parse_args(words)
    if unknown := [s for s in a.stages if s not in STAGES]:
        parser.error(f"'{unknown[0]}' is no stage: expected some of {', '.join(STAGES)}")
    shutil.rmtree(a.out, ignore_errors=True)
    a.out.mkdir(parents=True)
    m = Machine(a.out, a.device, a.toy, time.monotonic() + a.seconds - 10, a.updates, a.seeds, a.measured, tuple(a.measure))  # 10 s to pack
    recorded = [HOPPER, *(MIXED if "train" in (a.stages or STAGES) and not a.toy else ())]
    recording = time.monotonic()
    recorders = [(data, m.start(f"record-{data.replace('/', '-')}", "bench", "inspect", data)) for data in recorded]
    for data, process in recorders:
        m.finish(f"record {data}", process, recording, RECORDING)
    for name in a.stages or STAGES:
        STAGES[name](m)
    (a.out / "summary.txt").write_text("\n".join(m.lines) + "\n")
    pack(a.out)
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
