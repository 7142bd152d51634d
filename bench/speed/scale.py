"""What an update costs against members, batch, width, amount of data and method; and what evaluation costs."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import replace

from bench.report.render import markdown_row
from bench.speed import flops
from bench.speed.options import ScaleOptions
from bench.speed.rows import COLUMNS as SPEED_COLUMNS
from bench.speed.rows import Row, row_of
from bench.speed.turns import Say, at_work, limits, look_around, peak, take_turns
from bench.speed.worker import Setting, Worker
from bench.speed.workload import Workload, configured, data_for, population, suite
from bench.training.evaluate import evaluate
from bench.training.shared import Shared

COLUMNS = ("curve", "x", "data_steps", "own_updates", "env_steps_per_s", *(c for c in SPEED_COLUMNS if not c.startswith("ratio")))
"""curve: what varies. x: its value. data_steps: in the data. own_updates: what the method's configuration trains for.
env_steps_per_s: environment steps of an evaluation of all members together."""

EPISODES = 6  # of each member in the timed evaluation: as many side by side as evaluations of ten members have


def curves(o: ScaleOptions) -> list[tuple[str, float | str, Workload]]:
    """(curve, x, workload) of everything to measure."""
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


def update_flops(what: Workload) -> float:
    """Of a member's update: by formula, or counted where there is none."""
    config = configured(what)
    one = replace(what, members=1, device="cpu", engine="eager")  # a recorded update cannot be counted
    data = data_for(replace(one, steps=0))
    algo = population(config, data, [0])
    widths = data.observations.shape[1], data.actions.shape[1]
    found = flops.needed(config, *widths, what.batch, flops.refreshed_steps(config, algo))
    return flops.counted(suite(replace(one, steps=0))) if found is None else found


def scale(o: ScaleOptions, say: Say) -> list[Row]:
    """Rows of `COLUMNS`. Raises RunError if a measured process ends early."""
    points = curves(o)
    operations = [update_flops(what) for _, _, what in points]
    done: list[tuple[str, float | str, Worker, float, float]] = []
    with at_work(limits([1, o.at], o)) as products:
        for curve in dict.fromkeys(name for name, _, _ in points):
            say(f"measuring cost against {curve}")
            own = [(x, what, needed) for (name, x, what), needed in zip(points, operations, strict=True) if name == curve]
            with at_work([Setting("suite", what, o.all_threads) for _, what, _ in own]) as workers:
                busy = look_around(say)
                take_turns([workers, products], o.rounds, o.seconds)
                for worker in workers:
                    worker.finish()
            done += [(curve, x, w, needed, busy) for (x, _, needed), w in zip(own, workers, strict=True)]
    top = peak(products)
    recorded = Shared().data(o.dataset).trajectories.num_steps
    rows = [
        row_of(w, f, top, busy)
        | {
            "curve": curve,
            "x": x,
            "data_steps": w.setting.what.steps or recorded,
            "own_updates": configured(w.setting.what, own_budget=True).updates,
        }
        for curve, x, w, f, busy in done
    ]
    if o.evaluation:
        say("measuring evaluation")
        rows.append(evaluation_row(o, o.evaluation, rows))
    return rows


def evaluation_row(o: ScaleOptions, dataset: str, rows: Sequence[Row]) -> Row:
    """Environment steps a second while `seeds` untrained policies are evaluated, reset and policy included."""
    what = Workload("bc", o.seeds, dataset=dataset, device=o.device)
    config = configured(what)
    algo = population(config, data_for(what), range(o.seeds))
    with Shared() as shared:
        data = shared.data(dataset)
        environments = shared.evaluator(data.env_spec, None)
        evaluate(algo, data, environments, 0, 1, lambda: None) if o.rounds > 1 else None
        started = time.perf_counter()
        episodes = evaluate(algo, data, environments, 0, EPISODES, lambda: None)
        took = time.perf_counter() - started
    rate = sum(e["length"] for e in episodes) / took
    common = {k: rows[0][k] for k in ("device", "cpu_model", "cores", "threads", "torch_version", "code_revision")} if rows else {}
    return common | {
        "curve": "evaluation", "x": o.seeds, "env_steps_per_s": rate, "dataset": dataset, "members": o.seeds, "who": "suite",
        "method": "bc", "hidden": "x".join(map(str, config.hidden)),
    }  # fmt: skip


def table(rows: Sequence[Row]) -> str:
    """The rows for reading, as Markdown."""
    lines = [
        markdown_row(["curve", "x", "P", "ms a member's update", "member-updates/s", "of the limit", "MiB"]),
        markdown_row(["---"] * 7),
    ]
    for r in rows:
        if r["curve"] == "evaluation":
            lines.append(markdown_row(["evaluation", str(r["x"]), str(r["members"]), "", f"{r['env_steps_per_s']:.0f} steps/s", "", ""]))
            continue
        rate = r["member_updates_per_s"]
        numbers = [f"{1e3 / rate:.4g}", f"{rate:.4g}", f"{r['share_of_limit']:.0%}", f"{r['memory_mib']:.0f}"]
        lines.append(markdown_row([r["curve"], str(r["x"]), str(r["members"]), *numbers]))
    return "\n".join(lines)
