"""Measure engines, precisions and numbers of members in one process: the first look at a new device.

Every setting is timed for `seconds`, one after another, and the plain loop (bench/speed/yardstick.py) with one seed before and after them.
On a GPU nothing else runs, so that one process is enough; `bench speed` measures each setting in a process of its own. Settings that no
longer fit into `limit` seconds are skipped and reported.
"""

from __future__ import annotations

import gc
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from statistics import median
from typing import Any, NamedTuple

import torch

from bench.report.render import markdown_row
from bench.speed import limits, workload
from bench.speed.child import Stopwatch
from bench.speed.machine import device_name
from bench.speed.measure import needed_flops
from bench.speed.options import EngineOptions, MeasureOptions
from bench.speed.rows import Row
from bench.speed.workload import Work, Workload
from bench.speed.yardstick import yardstick
from bench.training.device import set_products
from envs.revision import code_revision

COLUMNS = (
    "device", "torch_version", "code_revision", "dataset", "batch", "hidden", "method", "kind", "engine", "precision", "members",
    "updates_per_s_member", "member_updates_per_s", "ratio", "gflops", "share_of_limit", "ready_s", "memory_mib", "skipped",
)  # fmt: skip
"""ratio: member-updates per second to those of the plain loop in float32 in the same process. share_of_limit: of the rate of the large
square product in the same precision. ready_s: seconds until the first updates were done, compilation and capture included. skipped: the
reason why a setting was not measured."""


class Setting(NamedTuple):
    """One thing to measure."""

    kind: str  # suite | yardstick
    load: Workload


def settings(o: EngineOptions) -> list[Setting]:
    """The settings, the most informative first, since a limit of time cuts the last ones off.

    For each method the plain loop and the first engine in the first precision with every number of members; then the other engines in that
    precision, then the other precisions with the first engine, with the fewest and the most members.
    """
    ends = list(dict.fromkeys([o.members[0], o.members[-1]]))
    first, *others = o.engines
    found = []
    for method in o.methods:
        base = Workload(method, 1, o.batch, tuple(o.hidden), 0, o.dataset, o.device, first, o.precisions[0])
        found.append(Setting("yardstick", replace(base, precision="float32")))
        found += [Setting("suite", replace(base, members=p)) for p in o.members]
        found += [Setting("suite", replace(base, members=p, engine=engine)) for engine in others for p in ends]
        found += [Setting("suite", replace(base, members=p, precision=precision)) for precision in o.precisions[1:] for p in ends]
    return found


def measure_engines(o: EngineOptions, say: Callable[[str], Any]) -> list[Row]:
    """Rows of COLUMNS. A setting that fails is reported in `skipped`, and the others are measured."""
    started = time.perf_counter()
    torch.set_num_threads(o.all_threads)
    flops = {m: needed_flops(m, MeasureOptions(dataset=o.dataset, device="cpu", batch=o.batch, hidden=o.hidden)) for m in o.methods}
    tops = {precision: _rate_of_products(o, precision) for precision in o.precisions}
    say("; ".join(f"square product in {p}: {rate / 1e12:.1f} TFLOP/s" for p, rate in tops.items()))
    loops: dict[str, float] = {}
    rows, longest = [], 0.0
    for kind, load in settings(o):
        row: Row = {
            "device": device_name(load.device),
            "method": load.method,
            "kind": kind,
            "engine": load.engine if kind == "suite" else "eager",
        }
        row |= {"torch_version": torch.__version__, "code_revision": code_revision(), "dataset": load.dataset, "batch": load.batch}
        row |= {"hidden": "x".join(map(str, load.hidden)), "precision": load.precision, "members": load.members, "skipped": ""}
        rows.append(row)
        begun = time.perf_counter()
        if begun - started + longest > o.limit:
            row["skipped"] = f"limit of {o.limit:g} s"
            continue
        try:
            rate, ready, memory = _timed(kind, load, o.seconds)
        except Exception as error:
            row["skipped"] = f"{type(error).__name__}: {str(error).strip().splitlines()[0] if str(error).strip() else ''}"[:200]
            say(f"{_label(row)}: {row['skipped']}")
            continue
        if kind == "yardstick":
            loops[load.method] = rate
        members_rate, top = rate * load.members, tops[load.precision]
        row |= {
            "updates_per_s_member": rate, "member_updates_per_s": members_rate,
            "ratio": members_rate / loops.get(load.method, float("nan")),
            "gflops": members_rate * flops[load.method] / 1e9, "share_of_limit": members_rate * flops[load.method] / top,
            "ready_s": ready, "memory_mib": memory,
        }  # fmt: skip
        say(f"{_label(row)}: {rate:.0f} updates/s a member, {row['ratio']:.1f} x the plain loop, ready after {ready:.1f} s")
        longest = max(longest, time.perf_counter() - begun) if kind == "suite" else longest
    return rows


def _label(row: Row) -> str:
    return f"{row['method']} {row['kind']} {row['engine']} {row['precision']} P = {row['members']}"


def _timed(kind: str, load: Workload, seconds: float) -> tuple[float, float, float]:
    """(updates per second, seconds until ready, MiB allocated on the GPU) of a setting: the median of three measurements."""
    set_products(load.device, load.precision)
    on_gpu = load.device != "cpu"
    if on_gpu:
        torch.cuda.empty_cache()
        torch.cuda.reset_peak_memory_stats()
    begun = time.perf_counter()
    watch = Stopwatch(workload.suite(load) if kind == "suite" else yardstick(load), load.device)
    watch.rate(0.0)
    ready = time.perf_counter() - begun
    watch.rate(seconds / 3)
    rate = median(watch.rate(seconds / 3) for _ in range(3))
    memory = torch.cuda.max_memory_allocated() / 2**20 if on_gpu else float("nan")
    del watch
    gc.collect()
    return rate, ready, memory


def _rate_of_products(o: EngineOptions, precision: str) -> float:
    """FLOP/s of the large square product."""
    set_products(o.device, precision)
    dtype = torch.bfloat16 if precision == "bf16" else torch.float32
    work: Work = limits.square(o.device, dtype)
    watch = Stopwatch(work, o.device)
    watch.rate(o.seconds / 4)
    return watch.rate(o.seconds / 2) * 2.0 * limits.SQUARE[o.device] ** 3


def table(rows: list[Row]) -> str:
    """The measured rows as a Markdown table, then the skipped settings."""
    head = [
        "method", "kind", "engine", "precision", "P", "updates/s a member", "member-updates/s", "x loop", "of the limit", "ready s", "MiB",
    ]  # fmt: skip
    lines = [markdown_row(head), markdown_row(["---"] * 4 + ["---:"] * (len(head) - 4))]
    for r in rows:
        if not r["skipped"]:
            numbers = [
                f"{r['updates_per_s_member']:.0f}", f"{r['member_updates_per_s']:.0f}", f"{r['ratio']:.2f}", f"{r['share_of_limit']:.1%}",
                f"{r['ready_s']:.1f}", f"{r['memory_mib']:.0f}",
            ]  # fmt: skip
            lines.append(markdown_row([r["method"], r["kind"], r["engine"], r["precision"], str(r["members"]), *numbers]))
    return "\n".join([*lines, *_skipped(rows)])


def _skipped(rows: list[Row]) -> Iterator[str]:
    for r in rows:
        if r["skipped"]:
            yield f"not measured: {_label(r)} ({r['skipped']})"
