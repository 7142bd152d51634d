"""The suite, the yardstick and the limit, in turn, in one run."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from statistics import median

from bench.report.render import markdown_row
from bench.speed import flops
from bench.speed.options import MeasureOptions
from bench.speed.rows import Row, rounds_of, row_of
from bench.speed.turns import Say, at_work, limits, look_around, peak, product_flops, take_turns
from bench.speed.worker import ENVIRONMENTS, Setting, Worker
from bench.speed.workload import Workload, configured, data_for, population


def workload(method: str, members: int, o: MeasureOptions) -> Workload:
    """`members` of `method`, as the options say."""
    return Workload(method, members, o.batch, tuple(o.hidden), 0, o.dataset, o.device, o.engine, o.precision, o.after)


def settings(method: str, o: MeasureOptions) -> tuple[list[Setting], list[Setting]]:
    """The suite's, and the yardstick's: with one thread and with all, and on a CPU in as many processes as there are threads, which is what
    somebody does who has several seeds to train; with all threads also in the suite's environment, to tell what that is worth. All in
    float32, and where the suite multiplies in bfloat16 on a CPU, with torch.autocast as well.
    """
    what = {p: workload(method, p, o) for p in {1, o.all_threads, *o.members}}
    suite = [Setting("suite", what[p], o.all_threads) for p in o.members]
    yardstick = []
    for precision in dict.fromkeys([*(["float32"] if o.device == "cpu" else []), o.precision]):
        one, several = (replace(what[p], precision=precision) for p in (1, o.all_threads))
        yardstick.append(Setting("yardstick", one, 1, environment="runtime"))
        if o.all_threads > 1:
            yardstick += [Setting("yardstick", one, o.all_threads, environment=name) for name in ENVIRONMENTS]
            if o.device == "cpu":
                yardstick.append(Setting("yardstick", several, 1, o.all_threads, "runtime"))
    return suite, yardstick


def needed_flops(method: str, o: MeasureOptions) -> float:
    """Of a member's update."""
    what = Workload(method, 1, o.batch, tuple(o.hidden), 0, o.dataset)
    config, data = configured(what), data_for(what)
    steps = flops.refreshed_steps(config, population(config, data, [0]))
    found = flops.needed(config, data.observations.shape[1], data.actions.shape[1], o.batch, steps)
    assert found is not None
    return found


def measure(o: MeasureOptions, say: Say) -> tuple[list[Row], list[Row]]:
    """Rows of `rows.COLUMNS`, and of every round. Raises RunError if a measured process ends early."""
    operations = {method: needed_flops(method, o) for method in o.methods}
    groups: list[tuple[list[Worker], float, float]] = []
    with at_work(limits(o.members, o)) as products:
        for method in o.methods:
            say(f"measuring {method}")
            suite, yardstick = settings(method, o)
            with at_work([*suite, *yardstick]) as workers:
                busy = look_around(say)
                take_turns([workers[: len(suite)], workers[len(suite) :], products], o.rounds, o.seconds)
                for worker in workers:
                    worker.finish()
            groups.append((workers, operations[method], busy))
        for worker in products:
            worker.finish()
    top = peak(products)
    rows = [row for workers, needed, busy in groups for row in compared(workers, needed, top, busy)]
    rows += [row_of(w, product_flops(w.setting), top, groups[0][2]) for w in products]
    return rows, [row for w in [*(w for g in groups for w in g[0]), *products] for row in rounds_of(w)]


def compared(workers: Sequence[Worker], needed: float, top: float, busy: float) -> list[Row]:
    """Rows of a method's workers, the suite's with their ratios to the yardstick."""
    alone = [w for w in workers if w.setting.who == "yardstick" and w.setting.processes == 1 and w.setting.environment == "runtime"]
    several = [w for w in workers if w.setting.who == "yardstick" and w.setting.processes > 1]
    best = max(alone, key=lambda w: median(w.rates))
    best_several = max(several, key=lambda w: median(w.rates), default=None)
    rows = []
    for worker in workers:
        row = row_of(worker, needed, top, busy)
        if worker.setting.who == "suite":
            ratios = [a / b for a, b in zip(worker.rates, best.rates, strict=True)]
            row |= {"ratio": median(ratios), "ratio_low": min(ratios), "ratio_high": max(ratios)}
            if best_several is not None:
                row["ratio_processes"] = median([a / b for a, b in zip(worker.rates, best_several.rates, strict=True)])
        rows.append(row)
    return rows


def table(rows: Sequence[Row]) -> str:
    """The rows for reading, as Markdown."""
    head = [
        "method", "who", "precision", "P", "processes x threads", "updates/s a member", "member-updates/s", "spread", "x yardstick",
        "x its processes", "GFLOP/s", "of the limit", "MiB",
    ]  # fmt: skip
    lines = [markdown_row(head), markdown_row(["---", "---", "---", *["---:"] * (len(head) - 3)])]
    for r in rows:
        ratio = f"{r['ratio']:.2f} ({r['ratio_low']:.2f} to {r['ratio_high']:.2f})" if r.get("ratio") else ""
        processes = f"{r['ratio_processes']:.2f}" if r.get("ratio_processes") else ""
        environment = ", suite's environment" if r["who"] == "yardstick" and r["environment"] == "suite" else ""
        cells = [
            r["method"], r["who"], r["precision"], str(r["members"]), f"{r['processes']} x {r['threads']}{environment}",
            f"{r['updates_per_s_member']:.4g}", f"{r['member_updates_per_s']:.4g}", f"{r['spread']:.0%}", ratio, processes,
            f"{r['gflops']:.4g}", f"{r['share_of_limit']:.0%}", f"{r['memory_mib']:.0f}",
        ]  # fmt: skip
        lines.append(markdown_row(cells))
    return "\n".join(lines)
