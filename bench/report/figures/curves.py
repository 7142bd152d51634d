"""Learning curves, and importance weights over training."""

from __future__ import annotations

import numpy as np
import pandas as pd
from matplotlib.figure import Figure
from matplotlib.ticker import LogFormatter

from bench.report.figures.style import MANY, WIDTH, Look, canvas, file_name, legend, short
from bench.results.episodes import learning_curve
from bench.results.grid import Grid
from bench.results.pooling import metrics_of
from bench.results.statistics import summarise

WEIGHTS = {
    "weight_ess_share": ("effective sample size / number", None),
    "kl_q_pi_ref": ("KL(q || pi_ref) a step", None),
    "weight_maximum": ("largest and smallest weight", "weight_minimum"),
    "weight_clipped_share": ("share of weights at a clip", None),
}


def learning_curves(grid: Grid, look: dict[str, Look]) -> dict[str, Figure]:
    """Mean over seeds by update, with 95 % bands for at most MANY methods: a figure for each data set."""
    found = {}
    for dataset in grid.datasets:
        figure, axes = canvas()
        methods = [m for m in grid.methods if (dataset, m) in grid.records and grid.records[dataset, m]["final_episodes"]]
        if not methods:
            continue
        for method in methods:
            record = grid.records[dataset, method] | ({"reference": None} if dataset in grid.unscored else {})
            curve = learning_curve(record, grid.episodes[dataset, method])
            _line(axes, curve, grid.label(method, [dataset]), look[method], band=len(methods) <= MANY)
        axes.set(xlabel="updates", ylabel="raw return" if dataset in grid.unscored else "score", title=short(dataset))
        axes.margins(x=0.03)
        legend(figure, axes)
        found[f"curve-{file_name(dataset)}"] = figure
    return found


def _line(axes, curve: pd.DataFrame, label: str, look: Look, band: bool) -> None:  # type: ignore[no-untyped-def]
    points = [summarise(row[~np.isnan(row)]) if (~np.isnan(row)).any() else summarise([np.nan]) for row in curve.to_numpy()]
    axes.plot(curve.index, [p.mean for p in points], label=label, color=look.colour, linestyle=look.line, marker=look.marker, markersize=4)
    if band and len(points) > 0 and not np.isnan(points[-1].low):
        axes.fill_between(curve.index, [p.low for p in points], [p.high for p in points], color=look.colour, alpha=0.12, linewidth=0)


def weight_diagnostics(grid: Grid, look: dict[str, Look]) -> dict[str, Figure]:
    """Diagnostics of the weights by update, a figure for each data set with weighted methods."""
    found = {}
    for dataset in grid.datasets:
        metrics = {m: metrics_of(grid.records[dataset, m]) for m in grid.methods if (dataset, m) in grid.records}
        weighted = [(m, curve) for m, curve in metrics.items() if curve is not None and "weight_ess_share" in curve]
        if not weighted:
            continue
        figure = Figure(figsize=(WIDTH, 4.4))
        panels = figure.subplots(2, 2, sharex=True).flatten()
        for panel, (column, (title, partner)) in zip(panels, WEIGHTS.items(), strict=True):
            for method, curve in weighted:
                for name in (column, partner):
                    if name is not None and name in curve:
                        means = curve.groupby("update")[name].mean()
                        own = {"label": grid.label(method, [dataset])} if name == column else {}
                        panel.plot(
                            means.index, means, color=look[method].colour, linestyle=look[method].line, marker=look[method].marker,
                            markersize=4, **own,
                        )  # fmt: skip
            panel.set_title(title, fontsize=8)
            if partner:
                panel.set_yscale("log")
                for formatted in (panel.yaxis.set_major_formatter, panel.yaxis.set_minor_formatter):
                    formatted(LogFormatter(minor_thresholds=(1, 0.5)))
            elif "share" in column:
                panel.set_ylim(-0.05, 1.05)
            panel.margins(x=0.05)
        for panel in panels[2:]:
            panel.set_xlabel("updates")
        figure.suptitle(short(dataset), fontsize=9)
        legend(figure, panels[0])
        found[f"weights-{file_name(dataset)}"] = figure
    return found
