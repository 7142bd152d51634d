"""The calibration plot: true return against estimate, a panel for each estimator and data set."""

from __future__ import annotations

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from bench.config.estimates import ESTIMATES
from bench.report.figures.style import Look, looks, short
from bench.selection.select import Selected

PANEL = 1.75  # inches
BEYOND = 0.5  # of the range of true values: estimates farther off are drawn at the edge


def calibration(selected: Selected) -> Figure:
    """True value against estimate, one row of panels a data set; dotted: equal values, where the estimate is of a return."""
    board, rows = selected.accuracy, selected.rows
    datasets = list(dict.fromkeys(board["dataset"]))
    names = [name for name in ESTIMATES if name in set(rows["estimator"])]
    look = looks(sorted(set(rows["algo"])))
    figure = Figure(figsize=(max(PANEL * len(names), 3.2), PANEL * len(datasets) + 0.7))
    grid = figure.subplots(len(datasets), len(names), squeeze=False)
    for line, dataset in zip(grid, datasets, strict=True):
        measured = board[board["dataset"] == dataset].set_index("estimator")
        unit = str(measured["unit"].iloc[0])
        for axes, name in zip(line, names, strict=True):
            own = rows[(rows["dataset"] == dataset) & (rows["estimator"] == name)]
            _panel(axes, own, name, unit, look)
            axes.set_title(f"{name}\nrho {measured.loc[name, 'correlation']:.2f}", fontsize=7)
        line[0].set_ylabel(f"{short(str(dataset))}\ntrue {unit}")
    handles = {label: handle for axes in grid.flat for handle, label in zip(*axes.get_legend_handles_labels(), strict=True)}
    figure.legend(handles.values(), handles.keys(), loc="outside lower center", ncols=max(1, min(len(handles), int(PANEL * len(names)))))
    return figure


def _panel(axes: Axes, rows: pd.DataFrame, name: str, unit: str, look: dict[str, Look]) -> None:
    """One panel: a mark for each policy."""
    truths = rows[f"true_{unit}"].to_numpy()
    values = rows[f"estimated_{unit}" if ESTIMATES[name].unit else "estimate"].to_numpy()
    shown = ~(np.isnan(truths) | np.isnan(values))
    if not shown.any():
        axes.text(0.5, 0.5, "no policy\nwith a density", ha="center", va="center", transform=axes.transAxes, fontsize=7)
        axes.set(xticks=[], yticks=[])
        return
    if ESTIMATES[name].unit:
        low, high = truths[shown].min(), truths[shown].max()
        margin = BEYOND * max(high - low, 1e-9)
        values = np.clip(values, low - margin, high + margin)
        axes.axline((low, low), slope=1, color="#888888", linestyle=":", linewidth=0.8)
        axes.set_xlim(low - 1.1 * margin, high + 1.1 * margin)
    for method, style in look.items():
        own = shown & (rows["algo"] == method).to_numpy()
        if own.any():
            axes.plot(values[own], truths[own], style.marker, color=style.colour, label=method, markersize=4, alpha=0.8)
    axes.set_xlabel(f"estimated {unit}" if ESTIMATES[name].unit else "estimate", fontsize=7)
    axes.tick_params(labelsize=6)
