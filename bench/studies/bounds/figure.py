"""The figure of the study `bound`."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from bench.report.figures.style import WIDTH
from bench.studies.bounds.values import OWN

Rows = Sequence[dict[str, Any]]
SMALLEST = 1e-4  # nats, of the gap's axis


def alpha_of(row: dict[str, Any]) -> float | None:
    """alpha of a row on the path from pi_ref to p; None for other rows."""
    return float(row["q"].removeprefix("alpha ")) if row["q"].startswith("alpha ") else None


def paths(rows: Rows) -> Iterator[tuple[str, str, np.ndarray]]:
    """(setting, method, [alphas, 4]: alpha, gap in nats, effective sample size, variance of the gradient relative to alpha 0).

    Of the policies at the end of training, means over seeds.
    """
    ends = {(r["setting"], r["method"]): r["update"] for r in rows if alpha_of(r) is not None}
    for (setting, method), update in ends.items():
        own = [r for r in rows if (r["setting"], r["method"], r["update"]) == (setting, method, update) and alpha_of(r) is not None]
        table = []
        for alpha in dict.fromkeys(alpha_of(r) for r in own):
            at = [r for r in own if alpha_of(r) == alpha]
            columns = np.array([[r["log_gain"] - r["bound_log_gain"], r["ess"], r["gradient_variance"]] for r in at])
            table.append([alpha, *columns[:, :2].mean(0), np.exp(np.log(columns[:, 2]).mean())])
        found = np.array(table)
        found[:, 3] /= found[0, 3]
        yield setting, method, found


def figure(rows: Rows) -> Figure:
    """J and bounds along training; gap against alpha; variance of the gradient against effective sample size."""
    drawn = Figure(figsize=(1.6 * WIDTH, 7.2))
    places = drawn.subplots(2, 2)
    for axes, setting in zip(places[0], ("bandit", "decision process"), strict=True):
        _training(axes, rows, setting)
    gap, variance = places[1]
    for setting, method, table in paths(rows):
        label = f"{setting.removeprefix('iwsft/')}, p of {method.split(',')[0]}"
        gap.plot(table[:, 0], np.maximum(table[:, 1], SMALLEST), label=label)
        until = table[table[:, 0] <= 1]
        variance.plot(until[:, 2], until[:, 3], marker=".", label=label)
    gap.set(xlabel="alpha of q = pi_ref^(1 - alpha) p^alpha", ylabel="gap of the bound (nats)", yscale="log")
    variance.set(xlabel="effective sample size (share)", ylabel="variance of the gradient, SFT's = 1", xscale="log", yscale="log")
    for axis in (gap.yaxis, variance.xaxis, variance.yaxis):
        axis.set_major_formatter("{x:g}")
        axis.set_minor_formatter("")
    drawn.legend(*gap.get_legend_handles_labels(), fontsize=6.5, loc="outside lower center", ncols=3)
    handles = dict(zip(*reversed(places[0, 0].get_legend_handles_labels()), strict=True))
    drawn.legend(handles.values(), handles.keys(), fontsize=6.5, loc="outside upper center", ncols=4)
    return drawn


def _training(axes: Axes, rows: Rows, setting: str) -> None:
    """J of SFT and iw-SFT over updates (lines), with the bound of each one's own weights (dashed) and, for iw-SFT, SFT's (dotted)."""
    for method in ("SFT", "iw-SFT, w = q / pi_ref"):
        own = [r for r in rows if (r["setting"], r["method"]) == (setting, method)]
        at = {q: [r for r in own if r["q"] == q] for q in (OWN, "pi_ref")}
        updates, name = [r["update"] for r in at[OWN]], method.split(",")[0]
        (line,) = axes.plot(updates, [r["J"] for r in at[OWN]], label=f"J of {name}")
        axes.plot(updates, [r["bound_best_scale"] for r in at[OWN]], "--", color="black", linewidth=0.9, label="bound of its weights")
        if method != "SFT":
            values = [r["bound_best_scale"] for r in at["pi_ref"]]
            axes.plot(updates, values, ":", color=line.get_color(), label="SFT's bound at that policy")
    axes.set(title=setting, xlabel="update", ylabel="J and bounds (best scale)")
