"""Measured processes: the measuring process starts them and lets them work one after another."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field, replace
from itertools import chain, zip_longest
from pathlib import Path
from typing import Any

from bench.errors import RunError
from bench.speed.workload import Workload
from bench.training.process import OPENMP

ENVIRONMENTS: dict[str, dict[str, str]] = {"suite": OPENMP, "runtime": {"GOMP_SPINCOUNT": "300000", "MALLOC_PERTURB_": "0"}}
"""Environment variables of a measured process. suite: the suite sets how OpenMP threads wait and keeps freed memory
(bench/training/process.py). runtime: the defaults of libgomp and glibc, under which most public code runs; MALLOC_PERTURB_=0 only keeps
the suite from changing them."""
VARIABLES = ("OMP_WAIT_POLICY", "GOMP_SPINCOUNT", "GLIBC_TUNABLES")
LIMIT_SHARE = 0.25  # of a measurement's time for products of matrices, which have no cycle of updates
PROGRAM = "from bench.training.process import prepare_process; prepare_process(); from bench.speed.child import main; main()"
"""A measured process: as in training it is prepared before torch is imported."""
CODE = Path(__file__).parents[2]  # the folder that contains this package; the processes import the same one


@dataclass(frozen=True)
class Setting:
    """One thing to measure: its kind, workload, processes (which share the members), threads per process, and one of ENVIRONMENTS."""

    kind: str  # suite | yardstick | limit
    workload: Workload
    threads: int
    processes: int = 1
    environment: str = "suite"

    def per_process(self) -> list[Workload]:
        """The workload of every process."""
        members, more = divmod(self.workload.members, self.processes)
        return [replace(self.workload, members=members + (i < more)) for i in range(self.processes)]


@dataclass
class Worker:
    """The running processes of a setting.

    rates: member-updates per second, one per round. spin_counts: GOMP_SPINCOUNT of each process once it is ready.
    """

    setting: Setting
    rates: list[float] = field(default_factory=list)
    memory_mib: float = float("nan")
    spin_counts: list[str | None] = field(default_factory=list)

    def __post_init__(self) -> None:
        s = self.setting
        environment = {k: v for k, v in os.environ.items() if k not in VARIABLES and not k.startswith("MALLOC_")}
        environment |= {"OMP_NUM_THREADS": str(s.threads), "MKL_NUM_THREADS": str(s.threads)}
        environment["PYTHONPATH"] = os.pathsep.join([str(CODE), *filter(None, [os.environ.get("PYTHONPATH")])])
        environment |= ENVIRONMENTS[s.environment]
        command = [sys.executable, "-c", PROGRAM]
        self.members = [load.members for load in s.per_process()]
        self.processes = [
            subprocess.Popen(command, env=environment, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) for _ in self.members
        ]
        for process, load in zip(self.processes, s.per_process(), strict=True):
            self._send(process, {"kind": s.kind, "workload": asdict(load), "threads": s.threads})

    def _send(self, process: subprocess.Popen[str], value: Any) -> None:
        assert process.stdin is not None
        try:
            print(json.dumps(value), file=process.stdin, flush=True)
        except BrokenPipeError:
            self._receive(process)

    def _receive(self, process: subprocess.Popen[str]) -> Any:
        """The next answer. Raises RunError if the process has ended."""
        assert process.stdout is not None
        line = process.stdout.readline()
        if not line:
            s, code = self.setting, process.wait()
            reason = "killed, perhaps for lack of memory: measure fewer members" if code == -9 else f"exit code {code}, its error is above"
            raise RunError(f"{s.kind} of {s.workload.method} with {s.workload.members} members ended early ({reason})")
        return json.loads(line)

    def ready(self) -> None:
        """Wait until all processes have set up."""
        self.spin_counts = [self._receive(process) for process in self.processes]

    def measure(self, seconds: float, keep: bool = True) -> None:
        """One round: all processes work for `seconds`, at the same time."""
        for process in self.processes:
            self._send(process, seconds)
        rate = sum(members * self._receive(process) for members, process in zip(self.members, self.processes, strict=True))
        if keep:
            self.rates.append(rate)

    def finish(self) -> None:
        """Read the processes' peak memory and end them."""
        for process in self.processes:
            assert process.stdin is not None
            process.stdin.close()
        self.memory_mib = sum(self._receive(process) for process in self.processes)
        self.stop()

    def stop(self) -> None:
        """Kill the processes."""
        for process in self.processes:
            process.kill()
            process.wait()
            for pipe in (process.stdin, process.stdout):
                if pipe is not None and not pipe.closed:
                    pipe.close()


@contextmanager
def running(settings: Sequence[Setting]) -> Iterator[list[Worker]]:
    """A worker for each of `settings`, ready to measure; stopped at the end."""
    workers: list[Worker] = []
    try:
        for setting in settings:
            workers.append(Worker(setting))
        for worker in workers:
            worker.ready()
        yield workers
    finally:
        for worker in workers:
            worker.stop()


def take_turns(workers: Sequence[Sequence[Worker]], rounds: int, seconds: float) -> None:
    """Warm up, then measure every worker once a round, groups interleaved, every second round in reverse order.

    Slow changes of the machine then affect all workers equally.
    """
    order = [w for w in chain.from_iterable(zip_longest(*workers)) if w is not None]

    def once(worker: Worker, share: float, keep: bool) -> None:
        worker.measure(seconds * share * (LIMIT_SHARE if worker.setting.kind == "limit" else 1.0), keep)

    for worker in order:
        once(worker, 0.5, keep=False)
    for i in range(rounds):
        for worker in reversed(order) if i % 2 else order:
            once(worker, 1.0, keep=True)
