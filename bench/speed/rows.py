"""What is written down of a measurement: stable columns, CSV files, medians and spreads."""

from __future__ import annotations

import csv
import io
from collections.abc import Sequence
from pathlib import Path
from statistics import median
from typing import Any

import torch

from bench.errors import RunError
from bench.speed.machine import cores, cpu_model, device_name
from bench.speed.worker import Worker
from bench.storage.files import write_atomic
from envs.revision import code_revision

Row = dict[str, Any]

COLUMNS = (
    "device", "cpu_model", "cores", "threads", "processes", "environment", "engine", "precision", "torch_version", "code_revision",
    "dataset", "method", "members", "batch", "hidden", "after", "who", "updates_per_s_member", "member_updates_per_s", "flops_per_update",
    "gflops", "share_of_limit", "memory_mib", "rounds", "spread", "ratio", "ratio_low", "ratio_high", "ratio_processes", "others_busy",
)  # fmt: skip
"""device: cpu, or the GPU's name. threads, processes: that were started; the suite deals its members out by itself. environment: one of
bench/speed/worker.py's. engine, precision: training/device.py. after: updates done before the first measured one. who: suite, yardstick or
limit (products of matrices; `method` says of which, an update is a product of a member's). updates_per_s_member: of each of the members
that train side by side. member_updates_per_s: of all together. flops_per_update: what a member's update needs (bench/speed/flops.py).
gflops: that, times the updates. share_of_limit: of the highest rate of products measured in the same run, in the suite's precision.
memory_mib: of all processes together (the peak, and what forks have of their own), on a GPU what was allocated there. All numbers are
medians over the rounds, spread is (largest - smallest) / median of member_updates_per_s. ratio: to the yardstick in one process as most
people run it, with one thread or all, in float32 or with autocast, whichever is fastest, round by round: median, lowest, highest.
ratio_processes: to the yardstick with a process of one thread a core, in the faster precision.
others_busy: share of the cores that was busy before this was measured, while nothing of this was."""

ROUND_COLUMNS = (
    "device", "method", "who", "members", "threads", "processes", "environment", "batch", "hidden", "round", "member_updates_per_s",
)  # fmt: skip


def row_of(worker: Worker, flops: float | None, peak: float, busy: float) -> Row:
    """A worker's row, without ratios. `flops` of a member's update, `peak` the limit's FLOP/s, `busy` what others did before."""
    s, rates = worker.setting, worker.rates
    rate = median(rates)
    return {
        "device": device_name(s.what.device), "cpu_model": cpu_model(), "cores": cores(), "threads": s.threads,
        "processes": s.processes, "environment": s.environment,
        "engine": s.what.engine if s.who == "suite" else "eager", "precision": s.what.precision,
        "torch_version": torch.__version__, "code_revision": code_revision(),
        "dataset": s.what.dataset, "method": s.what.method, "members": s.what.members, "batch": s.what.batch,
        "hidden": "x".join(map(str, s.what.hidden)), "after": s.what.after, "who": s.who, "updates_per_s_member": rate / s.what.members,
        "member_updates_per_s": rate, "flops_per_update": flops, "gflops": None if flops is None else rate * flops / 1e9,
        "share_of_limit": None if flops is None else rate * flops / peak, "memory_mib": worker.memory_mib, "rounds": len(rates),
        "spread": (max(rates) - min(rates)) / rate, "others_busy": busy,
    }  # fmt: skip


def rounds_of(worker: Worker) -> list[Row]:
    """Each round of a worker on its own."""
    row = row_of(worker, None, 1.0, 0.0)
    return [row | {"round": i, "member_updates_per_s": rate} for i, rate in enumerate(worker.rates)]


def write_csv(path: Path, rows: Sequence[Row], columns: Sequence[str]) -> None:
    """Write `columns` of `rows`, numbers with six digits, nothing for what is not known. Raises OSError."""
    out = io.StringIO()
    writer = csv.DictWriter(out, columns, extrasaction="ignore", lineterminator="\n")
    writer.writeheader()
    writer.writerows({k: f"{v:.6g}" if isinstance(v, float) else v for k, v in row.items()} for row in rows)
    write_atomic(path, out.getvalue())


def read_csv(path: Path, wanted: Sequence[str]) -> list[Row]:
    """Rows with their numbers as numbers. Raises RunError if a column of `wanted` is missing."""
    with path.open(newline="") as file:
        reader = csv.DictReader(file)
        missing = [name for name in wanted if name not in (reader.fieldnames or ())]
        if missing:
            raise RunError(f"{path}: no column {', '.join(missing)}; measure again")
        return [{k: _number(v) for k, v in row.items()} for row in reader]


def _number(text: str | None) -> Any:
    if not text:
        return None
    for kind in (int, float):
        try:
            return kind(text)
        except ValueError:
            continue
    return text
