"""Measure the suite, the yardstick and the limit in turn, in one run."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import replace
from statistics import median

from algos.registry import build_untrained
from bench.report.render import markdown_row
from bench.speed import limits
from bench.speed.machine import others_busy
from bench.speed.options import MeasureOptions, Options
from bench.speed.rows import Row, round_rows, row_of
from bench.speed.worker import ENVIRONMENTS, Setting, Worker, running, take_turns
from bench.speed.workload import Workload, configured, data_for

QUIET = 0.05  # share of the cores that other processes may use without a warning

Say = Callable[[str], None]


def measure(o: MeasureOptions, say: Say) -> tuple[list[Row], list[Row]]:
    """Rows of `rows.COLUMNS`, and a row for each round. Raises RunError if a measured process ends early."""
    operations = {method: needed_flops(method, o) for method in o.methods}
    groups: list[tuple[list[Worker], float, float]] = []
    with running(limit_settings(o.members, o)) as products:
        for method in o.methods:
            say(f"measuring {method}")
            suite, yardstick = settings(method, o)
            with running([*suite, *yardstick]) as workers:
                busy = check_quiet(say)
                take_turns([workers[: len(suite)], workers[len(suite) :], products], o.rounds, o.seconds)
                for worker in workers:
                    worker.finish()
            groups.append((workers, operations[method], busy))
        for worker in products:
            worker.finish()
    top = peak(products)
    rows = [row for workers, needed, busy in groups for row in compared(workers, needed, top, busy)]
    rows += [row_of(w, product_flops(w.setting), top, groups[0][2]) for w in products]
    return rows, [row for w in [*(w for g in groups for w in g[0]), *products] for row in round_rows(w)]


def settings(method: str, o: MeasureOptions) -> tuple[list[Setting], list[Setting]]:
    """The settings of the suite, and those of the yardstick.

    The yardstick runs with one thread, with all threads, and on a CPU in one process per thread, as users train several seeds. With all
    threads it also runs in the suite's environment, which shows the gain from that environment. On a CPU it runs in float32, and if the
    suite multiplies in bfloat16, with torch.autocast as well.
    """
    loads = {p: workload(method, p, o) for p in {1, o.all_threads, *o.members}}
    suite = [Setting("suite", loads[p], o.all_threads) for p in o.members]
    yardstick = []
    for precision in dict.fromkeys([*(["float32"] if o.device == "cpu" else []), o.precision]):
        one, several = (replace(loads[p], precision=precision) for p in (1, o.all_threads))
        yardstick.append(Setting("yardstick", one, 1, environment="runtime"))
        if o.all_threads > 1:
            yardstick += [Setting("yardstick", one, o.all_threads, environment=name) for name in ENVIRONMENTS]
            if o.device == "cpu":
                yardstick.append(Setting("yardstick", several, 1, o.all_threads, "runtime"))
    return suite, yardstick


def workload(method: str, members: int, o: MeasureOptions) -> Workload:
    """`members` of `method` with the batch, widths, data, engine and precision of the options."""
    return Workload(method, members, o.batch, tuple(o.hidden), 0, o.dataset, o.device, o.engine, o.precision, o.after)


def needed_flops(method: str, o: MeasureOptions) -> float:
    """Operations of a member's update."""
    load = Workload(method, 1, o.batch, tuple(o.hidden), 0, o.dataset)
    config, data = configured(load), data_for(load)
    steps = limits.refreshed_steps(config, build_untrained(config, data, [0]))
    found = limits.needed(config, data.observations.shape[1], data.actions.shape[1], o.batch, steps)
    assert found is not None
    return found


def limit_settings(members: Sequence[int], o: Options) -> list[Setting]:
    """The large square product, and a hidden layer of a population for each number of members."""
    square = Workload("square", 1, device=o.device, precision=o.precision)
    layers = [replace(square, method="batched", members=p, batch=o.batch, hidden=(o.hidden[0],)) for p in members]
    return [Setting("limit", shape, o.all_threads) for shape in (square, *layers)]


def product_flops(setting: Setting) -> float:
    """Operations of a member's product."""
    load = setting.workload
    return 2.0 * limits.SQUARE[load.device] ** 3 if load.method == "square" else 2.0 * load.batch * load.hidden[0] ** 2


def peak(products: Sequence[Worker]) -> float:
    """FLOP/s of the fastest product, by medians over rounds."""
    return max(median(w.rates) * product_flops(w.setting) for w in products if w.rates)


def check_quiet(say: Say) -> float:
    """Share of the cores that other processes use now; warn if it is above QUIET."""
    busy = others_busy()
    if not math.isnan(busy) and busy > QUIET:
        say(f"warning: other processes use {busy:.0%} of the cores; measure on a quiet machine")
    return busy


def compared(workers: Sequence[Worker], needed: float, top: float, busy: float) -> list[Row]:
    """Rows of the workers of a method; the suite's have their ratios to the yardstick."""
    plain = [w for w in workers if w.setting.kind == "yardstick"]
    alone = [w for w in plain if w.setting.processes == 1 and w.setting.environment == "runtime"]
    several = [w for w in plain if w.setting.processes > 1]
    best = max(alone, key=lambda w: median(w.rates))
    best_several = max(several, key=lambda w: median(w.rates), default=None)
    rows = []
    for worker in workers:
        row = row_of(worker, needed, top, busy)
        if worker.setting.kind == "suite":
            ratios = [a / b for a, b in zip(worker.rates, best.rates, strict=True)]
            row |= {"ratio": median(ratios), "ratio_low": min(ratios), "ratio_high": max(ratios)}
            if best_several is not None:
                row["ratio_processes"] = median([a / b for a, b in zip(worker.rates, best_several.rates, strict=True)])
        rows.append(row)
    return rows


def table(rows: Sequence[Row]) -> str:
    """The rows as a Markdown table."""
    head = [
        "method", "kind", "precision", "P", "processes x threads", "updates/s a member", "member-updates/s", "spread", "x yardstick",
        "x its processes", "GFLOP/s", "of the limit", "MiB",
    ]  # fmt: skip
    lines = [markdown_row(head), markdown_row(["---", "---", "---", *["---:"] * (len(head) - 3)])]
    for r in rows:
        ratio = f"{r['ratio']:.2f} ({r['ratio_low']:.2f} to {r['ratio_high']:.2f})" if r.get("ratio") else ""
        processes = f"{r['ratio_processes']:.2f}" if r.get("ratio_processes") else ""
        environment = ", suite's environment" if r["kind"] == "yardstick" and r["environment"] == "suite" else ""
        cells = [
            r["method"], r["kind"], r["precision"], str(r["members"]), f"{r['processes']} x {r['threads']}{environment}",
            f"{r['updates_per_s_member']:.4g}", f"{r['member_updates_per_s']:.4g}", f"{r['spread']:.0%}", ratio, processes,
            f"{r['gflops']:.4g}", f"{r['share_of_limit']:.0%}", f"{r['memory_mib']:.0f}",
        ]  # fmt: skip
        lines.append(markdown_row(cells))
    return "\n".join(lines)
