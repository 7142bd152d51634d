"""The rows of a measurement: columns and CSV files."""

from __future__ import annotations

import csv
import io
from collections.abc import Sequence
from pathlib import Path
from statistics import median
from typing import Any

import torch

from bench.errors import RunError
from bench.speed.machine import cpu_model, device_name
from bench.speed.worker import Worker
from envs.cores import available_cores
from envs.files import write_atomic
from envs.revision import code_revision

Row = dict[str, Any]

COLUMNS = (
    "device", "cpu_model", "cores", "threads", "processes", "environment", "engine", "precision", "torch_version", "code_revision",
    "dataset", "method", "members", "batch", "hidden", "after", "kind", "updates_per_s_member", "member_updates_per_s", "flops_per_update",
    "gflops", "share_of_limit", "memory_mib", "rounds", "spread", "ratio", "ratio_low", "ratio_high", "ratio_processes", "others_busy",
)  # fmt: skip
"""All numbers are medians over the rounds.

device: cpu, or the GPU's name. threads: per process. processes: started by the measurement; the suite starts its own besides. environment:
a key of worker.ENVIRONMENTS. engine, precision: as in bench/training/device.py. after: updates before the first measured one. kind: suite,
yardstick or limit (products of matrices: `method` names their shape, an update is one product). updates_per_s_member: of one member.
member_updates_per_s: of all members together. flops_per_update: needed by a member's update (limits.py). gflops: flops_per_update x
member_updates_per_s. share_of_limit: gflops over the highest rate of products in the same measurement and precision. memory_mib: of all
processes (peak, plus the private pages of forks), on a GPU peak allocation. spread: (largest - smallest) / median of member_updates_per_s.
ratio: to the yardstick in one process, round by round: median, lowest, highest; the yardstick's fastest setting in the runtime environment
(one thread or all, float32 or autocast). ratio_processes: to the yardstick in one process of one thread per core. others_busy: share of the
cores that other processes used before the measurement."""

ROUND_COLUMNS = (
    "device", "method", "kind", "members", "threads", "processes", "environment", "batch", "hidden", "round", "member_updates_per_s",
)  # fmt: skip


def row_of(worker: Worker, flops: float | None, peak: float, busy: float) -> Row:
    """A worker's row without ratios, from the operations of a member's update, the limit's FLOP/s and the load before the measurement."""
    s, load, rates = worker.setting, worker.setting.workload, worker.rates
    rate = median(rates)
    return {
        "device": device_name(load.device), "cpu_model": cpu_model(), "cores": available_cores(), "threads": s.threads,
        "processes": s.processes, "environment": s.environment,
        "engine": load.engine if s.kind == "suite" else "eager", "precision": load.precision,
        "torch_version": torch.__version__, "code_revision": code_revision(),
        "dataset": load.dataset, "method": load.method, "members": load.members, "batch": load.batch,
        "hidden": "x".join(map(str, load.hidden)), "after": load.after, "kind": s.kind, "updates_per_s_member": rate / load.members,
        "member_updates_per_s": rate, "flops_per_update": flops, "gflops": None if flops is None else rate * flops / 1e9,
        "share_of_limit": None if flops is None else rate * flops / peak, "memory_mib": worker.memory_mib, "rounds": len(rates),
        "spread": (max(rates) - min(rates)) / rate, "others_busy": busy,
    }  # fmt: skip


def round_rows(worker: Worker) -> list[Row]:
    """A row for each round of a worker."""
    row = row_of(worker, None, 1.0, 0.0)
    return [row | {"round": i, "member_updates_per_s": rate} for i, rate in enumerate(worker.rates)]


def write_csv(path: Path, rows: Sequence[Row], columns: Sequence[str]) -> None:
    """Write `columns` of `rows`: numbers with six digits, unknown values empty. Raises OSError."""
    out = io.StringIO()
    writer = csv.DictWriter(out, columns, extrasaction="ignore", lineterminator="\n")
    writer.writeheader()
    writer.writerows({k: f"{v:.6g}" if isinstance(v, float) else v for k, v in row.items()} for row in rows)
    write_atomic(path, out.getvalue())


def read_csv(path: Path, required: Sequence[str]) -> list[Row]:
    """The rows of a CSV file, numbers parsed, empty cells None. Raises RunError if a column of `required` is missing."""
    with path.open(newline="") as file:
        reader = csv.DictReader(file)
        if missing := [name for name in required if name not in (reader.fieldnames or ())]:
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
