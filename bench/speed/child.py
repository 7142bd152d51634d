"""One measured thing in its own process, because threads and memory belong to a process.

Reads a line of JSON that says what, then a line a measurement: seconds; answers each with its updates per second; at the end of the input
it says how much memory it took at most. Idle in between.
"""

from __future__ import annotations

import json
import os
import resource
import sys
from pathlib import Path
from typing import Any

import torch

from bench.speed import limit, workload
from bench.speed.stopwatch import Stopwatch
from bench.speed.workload import Work, Workload
from bench.speed.yardstick import yardstick
from bench.training.device import set_products


def on_a_cpu_in_bfloat16(what: Workload) -> bool:
    """Whether bfloat16 has to be asked for by its type: torch's setting, which does for a GPU, makes a CPU without AMX slower."""
    return what.device == "cpu" and what.precision == "bf16"


def make(who: str, what: Workload) -> Work:
    """What `who` does with workload `what`."""
    if who == "suite":
        return workload.suite(what)
    if who == "yardstick":
        return yardstick(what)
    dtype = torch.bfloat16 if on_a_cpu_in_bfloat16(what) else torch.float32
    if what.method == "square":
        return limit.square(what.device, dtype)[0]
    return limit.batched(what.members, what.batch, what.hidden[0], what.device, dtype)[0]


def memory_mib(device: str) -> float:
    """The most so far: resident memory of the process with its forks' own pages, or memory allocated on the GPU."""
    if device != "cpu":
        return torch.cuda.max_memory_allocated() / 2**20
    try:  # this counts from the process's own beginning; getrusage keeps what its parent had
        status = dict(line.split(":", 1) for line in Path("/proc/self/status").read_text().splitlines())
        forks = Path(f"/proc/self/task/{os.getpid()}/children").read_text().split()
        return (int(status["VmHWM"].split()[0]) + sum(_own_kib(pid) for pid in forks)) / 2**10
    except (OSError, KeyError):
        return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**10


def _own_kib(pid: str) -> int:
    lines = Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines()
    return sum(int(line.split()[1]) for line in lines if line.startswith("Private_"))


def main() -> None:
    answers = os.fdopen(os.dup(1), "w", buffering=1)
    os.dup2(2, 1)  # whatever else is printed is no answer

    def answer(value: Any) -> None:
        print(json.dumps(value), file=answers)

    order = json.loads(sys.stdin.readline())
    what = Workload(**order["what"] | {"hidden": tuple(order["what"]["hidden"])})
    torch.set_num_threads(order["threads"])
    set_products(what.device, what.precision)
    autocast = order["who"] == "yardstick" and on_a_cpu_in_bfloat16(what)
    # Its cache of converted weights would outlive the weights, for an update here makes several optimisers' steps.
    with torch.autocast("cpu", torch.bfloat16, enabled=autocast, cache_enabled=False):
        stopwatch = Stopwatch(make(order["who"], what), what.device, what.after)
        answer("ready")
        for line in sys.stdin:
            answer(stopwatch.rate(json.loads(line)))
    answer(memory_mib(what.device))


if __name__ == "__main__":
    main()
