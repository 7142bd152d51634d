"""A measured process, which worker.py starts: threads and peak memory are properties of a process.

It reads an order (a line of JSON) and answers with its GOMP_SPINCOUNT once it has set up. It then reads a line of seconds for each
measurement and answers with updates per second, and at the end of its input with its peak memory. It idles in between.
"""

from __future__ import annotations

import json
import os
import resource
import sys
import time
from pathlib import Path
from typing import Any

import torch

from bench.speed import limits, workload
from bench.speed.workload import Work, Workload
from bench.speed.yardstick import yardstick
from bench.training.device import set_products
from bench.training.process import keep_freed_memory

CHUNK_SECONDS = 0.1  # work between two readings of the clock, about


class Stopwatch:
    """Measures updates per second of `work`, after `after` updates that are not measured.

    The device is synchronised before each reading of the clock.
    """

    def __init__(self, work: Work, device: str, after: int = 0) -> None:
        self.work, self.synchronises = work, device != "cpu"
        self.next, self.chunk = after + -after % work.cycle, work.cycle
        if after:
            work.train(0, self.next)

    def _timed(self, updates: int) -> float:
        """Seconds of the next `updates` updates."""
        if self.synchronises:
            torch.cuda.synchronize()
        started = time.perf_counter()
        self.work.train(self.next, self.next + updates)
        if self.synchronises:
            torch.cuda.synchronize()
        self.next += updates
        return time.perf_counter() - started

    def rate(self, seconds: float) -> float:
        """Updates per second over about `seconds`. A rare long update counts as often as it occurs, even if none fell into that time."""
        rare = self.work.rare
        if rare:
            self.next += -self.next % rare
        started, long_ones, others, done, count = time.perf_counter(), 0.0, 0.0, 0, 0
        while not done or time.perf_counter() - started < seconds:
            if rare and self.next % rare == 0:
                long_ones, count = long_ones + self._timed(1), count + 1
                continue
            updates = min(self.chunk, rare - self.next % rare) if rare else self.chunk
            took = self._timed(updates)
            others, done = others + took, done + updates
            if took < CHUNK_SECONDS / 2 and updates == self.chunk:
                self.chunk *= 2
        each = others / done
        return rare / (long_ones / count + (rare - 1) * each) if rare else 1 / each


def cpu_bfloat16(load: Workload) -> bool:
    """True if tensors must be bfloat16 themselves: torch's global setting, made for GPUs, slows a CPU without AMX down."""
    return load.device == "cpu" and load.precision == "bf16"


def make_work(kind: str, load: Workload) -> Work:
    """The loop to time: `kind` is suite, yardstick or limit."""
    if kind == "suite":
        return workload.suite(load)
    if kind == "yardstick":
        return yardstick(load)
    dtype = torch.bfloat16 if cpu_bfloat16(load) else torch.float32
    if load.method == "square":
        return limits.square(load.device, dtype)
    return limits.batched(load.members, load.batch, load.hidden[0], load.device, dtype)


def memory_mib(device: str) -> float:
    """Peak resident memory of this process plus the private pages of its forks; on a GPU, peak memory allocated there."""
    if device != "cpu":
        return torch.cuda.max_memory_allocated() / 2**20
    try:  # VmHWM counts from the start of this process; getrusage would include the parent's peak
        status = dict(line.split(":", 1) for line in Path("/proc/self/status").read_text().splitlines())
        forks = Path(f"/proc/self/task/{os.getpid()}/children").read_text().split()
        return (int(status["VmHWM"].split()[0]) + sum(_private_kib(pid) for pid in forks)) / 2**10
    except (OSError, KeyError):
        return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**10


def _private_kib(pid: str) -> int:
    lines = Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines()
    return sum(int(line.split()[1]) for line in lines if line.startswith("Private_"))


def main() -> None:
    """Serve the measuring process on stdin and stdout."""
    keep_freed_memory()
    answers = os.fdopen(os.dup(1), "w", buffering=1)
    os.dup2(2, 1)  # stdout carries answers only; print() goes to stderr

    def answer(value: Any) -> None:
        print(json.dumps(value), file=answers)

    order = json.loads(sys.stdin.readline())
    load = Workload(**order["workload"] | {"hidden": tuple(order["workload"]["hidden"])})
    torch.set_num_threads(order["threads"])
    set_products(load.device, load.precision)
    autocast = order["kind"] == "yardstick" and cpu_bfloat16(load)
    # Without autocast's cache of converted weights: an update makes steps of several optimisers, and the cache would outlive the weights.
    with torch.autocast("cpu", torch.bfloat16, enabled=autocast, cache_enabled=False):
        stopwatch = Stopwatch(make_work(order["kind"], load), load.device, load.after)
        answer(os.environ.get("GOMP_SPINCOUNT"))
        for line in sys.stdin:
            answer(stopwatch.rate(json.loads(line)))
    answer(memory_mib(load.device))
