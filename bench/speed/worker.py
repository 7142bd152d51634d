"""Measured processes, seen from the process that measures."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any

from bench.errors import RunError
from bench.speed.workload import Workload

ENVIRONMENTS: dict[str, dict[str, str]] = {"suite": {}, "runtime": {"GOMP_SPINCOUNT": "300000", "MALLOC_PERTURB_": "0"}}
"""How OpenMP threads wait for work, and what becomes of memory that is freed. suite: as bench/__init__.py has it. runtime: as libgomp and
glibc have it unless told otherwise, and with them most code of the field (the second variable changes nothing but that the suite keeps
its hands off)."""

HERE = Path(__file__).parents[2]  # where this very package lies, for the processes to find the same


@dataclass(frozen=True)
class Setting:
    """Who works, on what, in how many processes (the members are dealt out over them) of how many threads, in which of ENVIRONMENTS."""

    who: str  # suite | yardstick | limit
    what: Workload
    threads: int
    processes: int = 1
    environment: str = "suite"

    def each(self) -> list[Workload]:
        """What every process does."""
        members, more = divmod(self.what.members, self.processes)
        return [replace(self.what, members=members + (i < more)) for i in range(self.processes)]


@dataclass
class Worker:
    """The processes of a setting. `rates`: member-updates per second, a round each."""

    setting: Setting
    rates: list[float] = field(default_factory=list)
    memory_mib: float = float("nan")

    def __post_init__(self) -> None:
        s = self.setting
        own = ("OMP_WAIT_POLICY", "GOMP_SPINCOUNT", "GLIBC_TUNABLES")
        environment = {k: v for k, v in os.environ.items() if k not in own and not k.startswith("MALLOC_")}
        environment |= {"OMP_NUM_THREADS": str(s.threads), "MKL_NUM_THREADS": str(s.threads)}
        environment["PYTHONPATH"] = os.pathsep.join([str(HERE), *filter(None, [os.environ.get("PYTHONPATH")])])
        environment |= ENVIRONMENTS[s.environment]
        command = [sys.executable, "-m", "bench.speed.child"]
        self.members = [what.members for what in s.each()]
        self.processes = [
            subprocess.Popen(command, env=environment, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) for _ in self.members
        ]
        for process, what in zip(self.processes, s.each(), strict=True):
            self._say(process, {"who": s.who, "what": asdict(what), "threads": s.threads})

    def _say(self, process: subprocess.Popen[str], value: Any) -> None:
        assert process.stdin is not None
        try:
            print(json.dumps(value), file=process.stdin, flush=True)
        except BrokenPipeError:
            self._hear(process)

    def _hear(self, process: subprocess.Popen[str]) -> Any:
        assert process.stdout is not None
        line = process.stdout.readline()
        if not line:
            s, code = self.setting, process.wait()
            reason = "killed, for want of memory perhaps: measure fewer members" if code == -9 else f"exit code {code}, its error is above"
            raise RunError(f"{s.who} of {s.what.method} with {s.what.members} members ended early ({reason})")
        return json.loads(line)

    def ready(self) -> None:
        """Wait until all have made their networks."""
        for process in self.processes:
            self._hear(process)

    def measure(self, seconds: float, keep: bool = True) -> None:
        """One round: all processes work for `seconds` side by side."""
        for process in self.processes:
            self._say(process, seconds)
        rate = sum(members * self._hear(process) for members, process in zip(self.members, self.processes, strict=True))
        if keep:
            self.rates.append(rate)

    def finish(self) -> None:
        """Ask for the memory they took, and end them."""
        for process in self.processes:
            assert process.stdin is not None
            process.stdin.close()
        self.memory_mib = sum(self._hear(process) for process in self.processes)
        self.stop()

    def stop(self) -> None:
        """End the processes, whatever they do."""
        for process in self.processes:
            process.kill()
            process.wait()
            for pipe in (process.stdin, process.stdout):
                if pipe is not None and not pipe.closed:
                    pipe.close()
