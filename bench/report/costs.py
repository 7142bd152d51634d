"""costs.md of a suite: the cost of each method, and where the seconds went, with a yardstick of the machine if one was measured."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np

from bench.errors import DataError
from bench.report.render import markdown_rows
from bench.results.episodes import final_returns
from bench.results.names import in_order, method_names
from bench.results.pooling import each_once, summed
from bench.results.runs import Runs
from bench.storage.layout import Row
from envs.untrusted import clean, read_text

METHODS_NOTE = "Wall time covers training and evaluation, seeds side by side, on the machine of the run; pi_ref's training counts as BC's."
PHASES = {
    "import": "loading the program, once a process",
    "recording": "checks, and data sets recorded or downloaded",
    "set_up": "reading data, pi_ref, building the population",
    "training": "updates",
    "evaluation": "episodes; of those beside training (eval.overlap), the time that training waited",
    "saving": "checkpoints and rows",
    "tables": "the last time that they were written",
    "figures": "the last time; figures of unchanged results are not drawn again",
    "page": "the last time",
}
"""Phases of a suite and what they cover, in the order of the table."""
PHASES_NOTE = "Seconds by phase, summed over the runs. The installation of packages is not among them."
YARDSTICK = "Yardstick: "
"""The beginning of the line that states the speed of the machine."""
BYTES, LINE = 1 << 20, 500


def costs_md(runs: Runs, writing: Mapping[str, float], yardstick: str = "") -> str:
    """The text of costs.md. writing: seconds of tables, figures and page. yardstick: a line that begins with YARDSTICK, or nothing."""
    parts = [[METHODS_NOTE], markdown_rows(costs_of(runs))]
    seconds = summed([record.get("seconds", {}) for record, _ in each_once(runs)])
    if seconds:
        parts += [[PHASES_NOTE], markdown_rows(phase_rows({**seconds, **writing}))]
    return "\n\n".join("\n".join(lines) for lines in [*parts, *([[yardstick]] if yardstick else [])]) + "\n"


def kept_yardstick(suite: Path) -> str:
    """The yardstick that costs.md of folder `suite` states, "" without one."""
    try:
        lines = read_text(suite, "costs.md", BYTES).splitlines()
    except (OSError, DataError):  # none, or a file of another kind
        return ""
    return next((clean(line, LINE) for line in lines if line.startswith(YARDSTICK)), "")


def phase_rows(seconds: Mapping[str, float]) -> list[list[str]]:
    """Head and rows of the table of phases; PHASES that no run stated are left out."""
    total = sum(seconds.get(phase, 0.0) for phase in PHASES)
    rows = [["phase", "seconds", "share", "what"]]
    for phase, meaning in PHASES.items():
        if phase in seconds:
            share = f"{seconds[phase] / total:.0%}" if total else ""
            rows.append([phase.replace("_", "-"), f"{seconds[phase]:.1f}", share, meaning])
    return [*rows, ["all", f"{total:.1f}", "", ""]]


def costs_of(runs: Runs) -> list[list[str]]:
    """Head and rows of the table of costs, one row per method.

    Columns: trained parameters, updates, seconds per seed (mean over data sets), and the number of data sets on which the method's mean
    return (last iterate) is above that of the data.
    """
    found: dict[str, list[Row]] = {}
    runs = each_once(runs)
    for (record, episodes), method in zip(runs, method_names([record for record, _ in runs]), strict=True):
        mean = record["data_return_mean"]  # None: of other rewards than the environment's
        above = mean is not None and final_returns(record, episodes).mean() > mean
        seconds, played = record["wall_time_s"] / len(record["seeds"]), record["final_episodes"] > 0 and mean is not None
        own = {name: record[name] for name in ("parameters", "updates")}
        found.setdefault(method, []).append(own | {"seconds": seconds, "above": above, "played": played})
    rows = [["method", "parameters", "updates", "seconds a seed", "sets above the data's mean return"]]
    for method in in_order(list(found)):
        parameters, updates, times, above, played = (
            [r[name] for r in found[method]] for name in ("parameters", "updates", "seconds", "above", "played")
        )
        rows.append([method, _span(parameters), _span(updates), f"{np.mean(times):.0f}", f"{sum(above)} of {sum(played)}"])
    return rows


def _span(values: Sequence[int]) -> str:
    low, high = f"{min(values):,}", f"{max(values):,}"
    return low if low == high else f"{low} to {high}"
