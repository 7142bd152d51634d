"""The cost of the full protocol, computed from measured curves (scale-cpu.csv, scale-cuda.csv)."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise
from math import exp, log
from pathlib import Path

from bench.errors import RunError
from bench.report.render import markdown_row
from bench.speed.rows import Row, read_csv
from envs.files import write_atomic

DATASETS, SEEDS, UPDATES = 9, 10, 1_000_000
EVERY, EPISODES, FINAL_EPISODES = 5_000, 10, 100  # the usual schedule of a million updates on D4RL
EPISODE_STEPS = 1_000  # at most, in the three locomotion environments
HOUR, DAY = 3600.0, 86_400.0
REQUIRED = (
    "curve",
    "x",
    "device",
    "cpu_model",
    "cores",
    "threads",
    "members",
    "own_updates",
    "member_updates_per_s",
    "env_steps_per_s",
    "share_of_limit",
)
DEVICES = {"cuda": "One GPU", "cpu": "CPU"}


def write_estimate(folder: Path) -> Path:
    """Write estimate.md into `folder` from the curves in it. Raises RunError if there are none."""
    path = folder / "estimate.md"
    write_atomic(path, estimate({device: _curves(folder / f"scale-{device}.csv") for device in DEVICES}, folder))
    return path


def _curves(path: Path) -> list[Row] | None:
    return read_csv(path, REQUIRED) if path.is_file() else None


def estimate(curves: dict[str, list[Row] | None], folder: Path) -> str:
    """The text of estimate.md from the rows of each device (None: not measured). Raises RunError if no device was measured."""
    if not any(curves.values()):
        raise RunError(f"{folder}: no scale-cpu.csv or scale-cuda.csv; measure them with python -m bench speed scale")
    lines = [
        "# Cost of the full protocol",
        "",
        f"{DATASETS} data sets x {_methods(curves)} methods x {SEEDS} seeds x {UPDATES:,} updates, and evaluation: {EPISODES} episodes",
        f"every {EVERY:,} updates, {FINAL_EPISODES} of the last iterate, which is at most {played(UPDATES):,} environment steps a seed",
        f"(episodes of {EPISODE_STEPS:,}). Computed from the curves in this folder by `python -m bench speed estimate`: a method takes its",
        "seeds times its updates over its measured member-updates per second, all seeds of a data set in one process, with",
        "its own batch, widths and settings, on the data set of the curve. Wider observations (17 in two of the three environments,",
        "11 on Hopper) cost a few per cent more. Setting up, reading data and training pi_ref are left out. Beside it the same with",
        "each method's own number of updates: imitation trains for thousands, not a million.",
        "",
    ]
    for device, rows in curves.items():
        lines += [f"## {DEVICES[device]}", "", *(_section(rows) if rows else _missing(device)), ""]
    return "\n".join(lines)


def _methods(curves: dict[str, list[Row] | None]) -> int:
    return max(sum(r["curve"] == "method" for r in rows or ()) for rows in curves.values())


def _missing(device: str) -> list[str]:
    return [f"Not measured: there is no scale-{device}.csv here; `python -m bench speed scale device={device}` makes it."]


def played(updates: int) -> int:
    """Environment steps of all evaluations of a seed, at most."""
    return (-(-updates // EVERY) - 1) * EPISODES * EPISODE_STEPS + FINAL_EPISODES * EPISODE_STEPS


def _section(rows: Sequence[Row]) -> list[str]:
    methods = [r for r in rows if r["curve"] == "method"]
    if not methods:
        return ["The curves hold no methods: measure them with `python -m bench speed scale`."]
    first = methods[0]
    place = f"{first['cpu_model']}, {first['cores']} cores, {first['threads']} threads"
    lines = [place if first["device"] == "cpu" else f"{first['device']}; {place}", ""]
    lines += [
        markdown_row(
            ["method", "member-updates/s", "of the limit", "hours a data set", f"days, {DATASETS} data sets", "own updates", "days"]
        ),
        markdown_row(["---", *["---:"] * 6]),
    ]
    full, own = 0.0, 0.0
    for r in methods:
        a_set, shorter = (SEEDS * n / r["member_updates_per_s"] for n in (UPDATES, r["own_updates"]))
        full, own = full + DATASETS * a_set, own + DATASETS * shorter
        share = "" if r["share_of_limit"] is None else f"{r['share_of_limit']:.0%}"
        numbers = [f"{a_set / HOUR:.2f}", f"{DATASETS * a_set / DAY:.2f}", f"{r['own_updates']:,}", f"{DATASETS * shorter / DAY:.2f}"]
        lines.append(markdown_row([str(r["x"]), f"{r['member_updates_per_s']:.4g}", share, *numbers]))
    budgets = {f"{UPDATES:,} updates each": [UPDATES] * len(methods), "own updates": [r["own_updates"] for r in methods]}
    lines += ["", *_totals(rows, dict(zip(budgets, (full, own), strict=True)), budgets), *_packing(rows)]
    return lines


def _totals(rows: Sequence[Row], training: dict[str, float], budgets: dict[str, list[int]]) -> list[str]:
    """Time of training, of evaluation and of both, for each budget of updates."""
    speed = next((r["env_steps_per_s"] for r in rows if r["curve"] == "evaluation"), None)
    lines = [markdown_row(["", "training", "evaluation at most", "together", "overlapped"]), markdown_row(["---", *["---:"] * 4])]
    for name, took in training.items():
        if speed is None:
            lines.append(markdown_row([name, _spell(took), "not measured", "", ""]))
            continue
        evaluating = DATASETS * SEEDS * sum(map(played, budgets[name])) / speed
        lines.append(markdown_row([name, *map(_spell, (took, evaluating, took + evaluating, max(took, evaluating)))]))
    return [
        *lines,
        "",
        "Training is one method after another. Overlapped: evaluation runs beside training at no cost.",
        *(
            []
            if speed is None
            else [f"Evaluation steps {speed:,.0f} environments a second on all cores; episodes that end early cost less."]
        ),
    ]


def _packing(rows: Sequence[Row]) -> list[str]:
    """The gain of more members in a process, from the curve of members."""
    curve = sorted((r["members"], r["member_updates_per_s"]) for r in rows if r["curve"] == "members")
    if len(curve) < 2:
        return []
    method = next(r["method"] for r in rows if r["curve"] == "members")
    best, rate = max(curve, key=lambda point: point[1])
    own = interpolated(curve, SEEDS)
    return [
        f"{method}'s curve: {1e3 / own:.3g} ms a member's update with {SEEDS} members in a process; the least is {1e3 / rate:.3g} ms,"
        f" with {best}."
    ]


def interpolated(curve: Sequence[tuple[float, float]], x: float) -> float:
    """The value at `x`: a power law between two points of `curve` (rising in x), constant beyond its ends."""
    for (x0, y0), (x1, y1) in pairwise(curve):
        if x0 <= x <= x1:
            return exp(log(y0) + (log(y1) - log(y0)) * (log(x) - log(x0)) / (log(x1) - log(x0)))
    return curve[0][1] if x < curve[0][0] else curve[-1][1]


def _spell(seconds: float) -> str:
    return f"{seconds / DAY:,.1f} days" if seconds >= 2 * DAY else f"{seconds / HOUR:,.1f} hours"
