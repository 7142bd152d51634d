"""Learning curves, and the weights of the iw methods over training."""

from __future__ import annotations

import re

import numpy as np
import pandas as pd
from matplotlib.figure import Figure
from matplotlib.ticker import LogFormatter

from bench.report.figures.style import MANY, WIDTH, Look, canvas, legend, short
from bench.results.episodes import counted, reference_of
from bench.results.grid import Grid, Runs
from bench.results.statistics import summarise
from bench.storage.rundir import Row

WEIGHTS = {
    "weight_ess_share": ("effective sample size / number", None),
    "kl_q_pi_ref": ("KL(q || pi_ref) a step", None),
    "weight_maximum": ("largest and smallest weight", "weight_minimum"),
    "weight_clipped_share": ("share of weights at a clip", None),
}


def curve_of(record: Row, episodes: pd.DataFrame) -> pd.DataFrame:
    """Mean score (raw return without references) of every evaluation's first `eval_episodes` episodes: a row an update, a column a seed."""
    rows = counted(record, episodes)
    reference = reference_of(record)
    curve = rows[rows["episode"] < record["eval_episodes"]].groupby(["update", "seed"])["return"].mean(skipna=False).unstack("seed")
    return curve if reference is None else curve.apply(lambda x: reference.score(x.to_numpy()))


def learning_curves(grid: Grid, runs: Runs, look: dict[str, Look]) -> dict[str, Figure]:
    """One figure a data set."""
    episodes_of = {record["config_hash"]: episodes for record, episodes in runs}
    found = {}
    for dataset in grid.datasets:
        figure, axes = canvas()
        methods = [m for m in grid.methods if (dataset, m) in grid.records]
        for method in methods:
            record = grid.records[dataset, method]
            curve = curve_of(record, episodes_of[record["config_hash"]])
            _line(axes, curve, method, look[method], band=len(methods) <= MANY)
        axes.set(xlabel="updates", ylabel="score" if dataset in grid.scored else "raw return", title=short(dataset))
        axes.margins(x=0.03)
        legend(figure, axes)
        found[f"curve-{_file(dataset)}"] = figure
    return found


def _line(axes, curve: pd.DataFrame, label: str, look: Look, band: bool) -> None:  # type: ignore[no-untyped-def]
    points = [summarise(row[~np.isnan(row)]) if (~np.isnan(row)).any() else summarise([np.nan]) for row in curve.to_numpy()]
    axes.plot(curve.index, [p.mean for p in points], label=label, color=look.colour, linestyle=look.line, marker=look.marker, markersize=4)
    if band and len(points) > 0 and not np.isnan(points[-1].low):
        axes.fill_between(curve.index, [p.low for p in points], [p.high for p in points], color=look.colour, alpha=0.12, linewidth=0)


def weight_diagnostics(grid: Grid, curves: dict[str, pd.DataFrame], look: dict[str, Look]) -> dict[str, Figure]:
    """One figure a data set with methods that weigh; `curves` are curve.csv by config_hash."""
    found = {}
    for dataset in grid.datasets:
        weighing = [
            (m, curves[grid.records[dataset, m]["config_hash"]])
            for m in grid.methods
            if (dataset, m) in grid.records and "weight_ess_share" in curves.get(grid.records[dataset, m]["config_hash"], ())
        ]
        if not weighing:
            continue
        figure = Figure(figsize=(WIDTH, 4.4))
        panels = figure.subplots(2, 2, sharex=True).flatten()
        for panel, (column, (title, partner)) in zip(panels, WEIGHTS.items(), strict=True):
            for method, curve in weighing:
                for name in (column, partner):
                    if name is not None and name in curve:
                        means = curve.groupby("update")[name].mean()
                        own = {"label": method} if name == column else {}
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
        found[f"weights-{_file(dataset)}"] = figure
    return found


def _file(dataset: str) -> str:
    return re.sub(r"[^\w.@+-]+", "-", dataset)[:150]
