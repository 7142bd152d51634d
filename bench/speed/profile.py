"""Time of an update by kind of work, from torch's profiler."""

from __future__ import annotations

import contextlib
import sys
import time
from collections import defaultdict
from collections.abc import Iterator
from typing import Any

import torch
from torch.autograd import DeviceType
from torch.profiler import ProfilerActivity, record_function
from torch.profiler import profile as profiler

from algos.optimizer import Adam
from algos.registry import build_untrained
from bench.report.render import markdown_row
from bench.speed.options import ProfileOptions
from bench.speed.workload import Workload, composed, data_for, rhythm
from bench.training.device import apply_engine, set_products

PRODUCTS = ("mm", "bmm", "addmm", "baddbmm", "addmv", "mv", "linear", "matmul")
GATHERS = ("index", "index_select", "gather", "searchsorted", "take", "_index_put_impl_", "index_put_")
OPTIMISER, SAMPLING = "optimiser", "sampling and gathering"
KINDS = ("matrix products", "elementwise and reductions", OPTIMISER, SAMPLING, "host: Python, autograd, dispatch")
"""Each operator counts with its own time, without the operators it calls. The host's share is the rest of the wall time: on a CPU the time
outside operators, the profiler's own included; on a GPU the time in which the GPU idles."""


def kind_of(name: str, within: set[str]) -> str:
    """The kind of operator `name`, called inside the named ranges `within`."""
    if OPTIMISER in within or name in ("iwsft::adam", "aten::_fused_adam_"):  # compiled code has no ranges
        return KINDS[2]
    operator = name.removeprefix("aten::")
    if SAMPLING in within or operator in GATHERS:
        return KINDS[3]
    return KINDS[0] if operator in PRODUCTS else KINDS[1]


def kind_of_kernel(name: str) -> str:
    """The kind of a GPU kernel in a captured update, by its name alone: kernels of the optimiser count as elementwise."""
    name = name.lower()
    if any(word in name for word in ("gemm", "gemv", "cutlass", "splitk")):
        return KINDS[0]
    return SAMPLING if any(word in name for word in ("index", "gather", "search", "memcpy")) else KINDS[1]


@contextlib.contextmanager
def marked(owner: Any, name: str, mark: str) -> Iterator[None]:
    """Show calls of `owner.name` to the profiler as range `mark` while the context lasts."""
    found = owner.__dict__.get(name)
    plain = getattr(owner, name)

    def call(*arguments: Any, **named: Any) -> Any:
        with record_function(mark):
            return plain(*arguments, **named)

    setattr(owner, name, call)
    try:
        yield
    finally:
        if found is None:
            delattr(owner, name)
        else:
            setattr(owner, name, found)


def shares(o: ProfileOptions) -> tuple[dict[str, float], float, float]:
    """Seconds an update by kind with the profiler, seconds an update without it, and kernels an update on a GPU (0 on a CPU)."""
    load = Workload(o.algo, o.members, o.batch, tuple(o.hidden), 0, o.dataset, o.device, o.engine, o.precision)
    config, on_gpu = composed(load), o.device == "cuda"
    algo: Any = build_untrained(config.algo, data_for(load), range(o.members))
    apply_engine(algo, config, lambda line: print(line, file=sys.stderr))
    captured = algo.engine != algo.step
    cycle, rare = rhythm(config.algo)
    first = max(10 * cycle, rare)  # warm-up, to the start of a cycle
    updates = -(-o.updates // max(cycle, rare)) * max(cycle, rare)
    algo.train(0, first)
    wall = _wall(algo, first, updates, o.device)
    marks = marked(Adam, "step", OPTIMISER), marked(algo, "draws", SAMPLING), marked(algo.stream, "from_draws", SAMPLING)
    activities = [ProfilerActivity.CPU, *([ProfilerActivity.CUDA] if on_gpu else [])]
    with marks[0], marks[1], marks[2], profiler(activities=activities) as found:
        profiled = _wall(algo, first + updates, updates, o.device)
    spent: dict[str, float] = defaultdict(float)
    kernels = sum(event.device_type == DeviceType.CUDA for event in found.events()) / updates
    for event in found.events():
        if on_gpu and (event.device_type == DeviceType.CUDA) != captured:
            continue  # the profiler lists kernels beside the operators that launched them; count one of the two
        own = event.self_device_time_total if on_gpu else event.self_cpu_time_total
        if event.name in (OPTIMISER, SAMPLING):  # a range's own time is spent outside torch, on random numbers for example
            spent[event.name] += 0.0 if on_gpu else own / 1e6
        else:
            spent[kind_of_kernel(event.name) if on_gpu and captured else kind_of(event.name, _within(event))] += own / 1e6
    by_kind = {k: v / updates for k, v in spent.items()}
    by_kind[KINDS[-1]] = max(0.0, (wall if on_gpu else profiled) - sum(by_kind.values()))
    return by_kind, wall, kernels


def _within(event: Any) -> set[str]:
    found, parent = set(), event.cpu_parent
    while parent is not None:
        found.add(parent.name)
        parent = parent.cpu_parent
    return found


def _wall(algo: Any, first: int, updates: int, device: str) -> float:
    _wait(device)
    started = time.perf_counter()
    algo.train(first, first + updates)
    _wait(device)
    return (time.perf_counter() - started) / updates


def _wait(device: str) -> None:
    if device == "cuda":
        torch.cuda.synchronize()


def profile(o: ProfileOptions) -> str:
    """A Markdown table of shares, below a line with the workload and the time of an update."""
    torch.set_num_threads(o.all_threads)
    set_products(o.device, o.precision)
    spent, wall, kernels = shares(o)
    total = sum(spent.values())
    lines = [markdown_row(["kind", "ms an update", "share"]), markdown_row(["---", "---:", "---:"])]
    lines += [markdown_row([kind, f"{1e3 * spent.get(kind, 0.0):.3f}", f"{spent.get(kind, 0.0) / total:.0%}"]) for kind in KINDS]
    title = f"{o.algo}, {o.members} members, batch {o.batch}, widths {'x'.join(map(str, o.hidden))}, {o.threads} threads"
    title += f", {o.precision}, engine {o.engine}"
    title += f": {1e3 * wall:.3f} ms an update without the profiler"
    title += f", {kernels:.0f} kernels an update" if o.device == "cuda" else ""
    return "\n".join([title, "", *lines])
