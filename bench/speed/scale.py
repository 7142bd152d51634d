"""Measure the cost of an update against members, batch, width, amount of data and method; and the speed of evaluation."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import replace

from algos.registry import build_untrained
from bench.report.render import markdown_row
from bench.speed import limits
from bench.speed.measure import Say, check_quiet, limit_settings, peak
from bench.speed.options import ScaleOptions
from bench.speed.rows import COLUMNS as SPEED_COLUMNS
from bench.speed.rows import Row, row_of
from bench.speed.worker import Setting, Worker, running, take_turns
from bench.speed.workload import Workload, configured, data_for, suite
from bench.training.evaluate import evaluate
from envs.cores import available_cores
from envs.evaluation.rollout import Evaluator
from envs.readers.load import load

COLUMNS = ("curve", "x", "data_steps", "own_updates", "env_steps_per_s", *(c for c in SPEED_COLUMNS if not c.startswith("ratio")))
"""curve: the varied quantity. x: its value. data_steps: steps of the data. own_updates: updates in the method's configuration.
env_steps_per_s: environment steps per second in an evaluation of all members."""

EPISODES = 6  # per member in the timed evaluation: as many as run at once for each of ten members


def scale(o: ScaleOptions, say: Say) -> list[Row]:
    """Rows of `COLUMNS`. Raises RunError if a measured process ends early."""
    points = curves(o)
    operations = [update_flops(work) for _, _, work in points]
    done: list[tuple[str, float | str, Worker, float, float]] = []
    with running(limit_settings([1, o.at], o)) as products:
        for curve in dict.fromkeys(name for name, _, _ in points):
            say(f"measuring cost against {curve}")
            own = [(x, work, needed) for (name, x, work), needed in zip(points, operations, strict=True) if name == curve]
            with running([Setting("suite", work, o.all_threads) for _, work, _ in own]) as workers:
                busy = check_quiet(say)
                take_turns([workers, products], o.rounds, o.seconds)
                for worker in workers:
                    worker.finish()
            done += [(curve, x, w, needed, busy) for (x, _, needed), w in zip(own, workers, strict=True)]
    top, recorded = peak(products), load(o.dataset).trajectories.num_steps
    rows = []
    for curve, x, worker, needed, busy in done:
        work = worker.setting.workload
        own_updates = configured(work, own_updates=True).updates
        rows.append(
            {**row_of(worker, needed, top, busy), "curve": curve, "x": x, "data_steps": work.steps or recorded, "own_updates": own_updates}
        )
    if o.evaluation:
        say("measuring evaluation")
        rows.append(evaluation_row(o, o.evaluation, rows))
    return rows


def curves(o: ScaleOptions) -> list[tuple[str, float | str, Workload]]:
    """(curve, x, workload) of every point to measure."""
    base = Workload(o.algo, o.at, o.batch, tuple(o.hidden), 0, o.dataset, o.device, o.engine, o.precision)
    depth = len(o.hidden)
    found: list[tuple[str, float | str, Workload]] = [("members", p, replace(base, members=p)) for p in o.members]
    found += [("batch", b, replace(base, batch=b)) for b in o.batches]
    found += [("width", w, replace(base, hidden=(w,) * depth)) for w in o.widths]
    found += [("steps", n, replace(base, steps=n)) for n in o.steps]
    for method in o.methods:
        own = replace(base, method=method, members=o.seeds, batch=0, hidden=())
        config = configured(own)
        found.append(("method", method, replace(own, batch=config.batch_size, hidden=tuple(config.hidden))))
    return found


def update_flops(work: Workload) -> float:
    """Operations of a member's update: by formula, or counted for a method without one."""
    config = configured(work)
    one = replace(work, members=1, device="cpu", engine="eager", steps=0)  # torch cannot count in a captured update
    data = data_for(one)
    widths = data.observations.shape[1], data.actions.shape[1]
    found = limits.needed(config, *widths, work.batch, limits.refreshed_steps(config, build_untrained(config, data, [0])))
    return limits.counted(suite(one)) if found is None else found


def evaluation_row(o: ScaleOptions, dataset: str, rows: Sequence[Row]) -> Row:
    """Environment steps per second in an evaluation of `seeds` untrained policies, resets and policies included."""
    data = load(dataset)
    work = Workload("bc", o.seeds, dataset=dataset, device=o.device)
    config = configured(work)
    algo = build_untrained(config, data_for(work), range(o.seeds))
    with Evaluator(data.env_spec, available_cores()) as environments:
        if o.rounds > 1:
            evaluate(algo, data, environments, 0, 1, lambda: None)  # warm-up
        started = time.perf_counter()
        episodes = evaluate(algo, data, environments, 0, EPISODES, lambda: None)
        took = time.perf_counter() - started
    rate = sum(e["length"] for e in episodes) / took
    shared = {k: rows[0][k] for k in ("device", "cpu_model", "cores", "threads", "torch_version", "code_revision")} if rows else {}
    return shared | {
        "curve": "evaluation", "x": o.seeds, "env_steps_per_s": rate, "dataset": dataset, "members": o.seeds, "kind": "suite",
        "method": "bc", "hidden": "x".join(map(str, config.hidden)),
    }  # fmt: skip


def table(rows: Sequence[Row]) -> str:
    """The rows as a Markdown table."""
    head = ["curve", "x", "P", "ms a member's update", "member-updates/s", "of the limit", "MiB"]
    lines = [markdown_row(head), markdown_row(["---"] * len(head))]
    for r in rows:
        if r["curve"] == "evaluation":
            lines.append(markdown_row(["evaluation", str(r["x"]), str(r["members"]), "", f"{r['env_steps_per_s']:.0f} steps/s", "", ""]))
            continue
        rate = r["member_updates_per_s"]
        numbers = [f"{1e3 / rate:.4g}", f"{rate:.4g}", f"{r['share_of_limit']:.0%}", f"{r['memory_mib']:.0f}"]
        lines.append(markdown_row([r["curve"], str(r["x"]), str(r["members"]), *numbers]))
    return "\n".join(lines)
