"""Aggregates over data sets: interval plot, performance profile, probability of improvement (Agarwal et al. 2021, arXiv 2108.13264)."""

from __future__ import annotations

import numpy as np
from matplotlib.figure import Figure

from bench.report.figures.style import MANY, WIDTH, Look, canvas, legend
from bench.results.bootstrap import METRICS, aggregate, performance_profile, probability_of_improvement
from bench.results.grid import Grid

TITLES = {"median": "median", "iqm": "IQM", "mean": "mean", "optimality_gap": "optimality gap\n(lower is better)"}


def intervals(grid: Grid, look: dict[str, Look]) -> dict[str, Figure]:
    """Aggregate metrics with 95 % intervals, for the methods with an average."""
    methods = grid.averaged(grid.scored) if grid.scored else []
    if not methods:
        return {}
    figure = Figure(figsize=(WIDTH, 1.2 + 0.36 * len(methods) * 1.3))
    panels = figure.subplots(2, 2, sharey=True).flatten()
    for panel, (name, metric) in zip(panels, METRICS.items(), strict=True):
        for i, method in enumerate(methods):
            e = aggregate(metric, grid.strata(method, grid.scored), 10_000)
            if not np.isnan(e.low):
                panel.plot([e.low, e.high], [i, i], color=look[method].colour, linewidth=6, alpha=0.35, solid_capstyle="butt")
            panel.plot([e.value], [i], color=look[method].colour, marker=look[method].marker, markersize=5)
        panel.set_title(TITLES[name], fontsize=8)
        panel.set_yticks(range(len(methods)), [grid.label(m, grid.scored) for m in methods])
        panel.set_ylim(len(methods) - 0.5, -0.5)
        panel.grid(False, axis="y")
    figure.supxlabel("score", fontsize=9)
    return {"intervals": figure}


def profile(grid: Grid, look: dict[str, Look]) -> dict[str, Figure]:
    """Share of runs above each score, with pointwise 95 % bands for at most MANY methods."""
    methods = grid.averaged(grid.scored) if grid.scored else []
    if not methods:
        return {}
    scores = np.concatenate([x for m in methods for x in grid.strata(m, grid.scored)])
    thresholds = np.linspace(min(0.0, scores.min()), max(scores.max() * 1.03, 1.0), 121)
    figure, axes = canvas()
    for i, method in enumerate(methods):
        share, low, high = performance_profile(grid.strata(method, grid.scored), thresholds, 1000)
        style = look[method]
        spacing = (2 + 5 * i % 24, 24)  # lines that coincide have their markers side by side
        axes.plot(
            thresholds, share, label=grid.label(method, grid.scored), color=style.colour, linestyle=style.line, marker=style.marker,
            markevery=spacing, markersize=4,
        )  # fmt: skip
        if len(methods) <= MANY and not np.isnan(low).all():
            axes.fill_between(thresholds, low, high, color=style.colour, alpha=0.1, linewidth=0)
    axes.set(xlabel="score s", ylabel="share of runs with a score above s", ylim=(-0.02, 1.02))
    legend(figure, axes)
    return {"profile": figure}


def improvement(grid: Grid) -> dict[str, Figure]:
    """Probability that a run of the row beats one of the column, with its 95 % interval."""
    methods = grid.ranked_together(grid.scored) if grid.scored else []
    if len(methods) < 2:
        return {}
    n = len(methods)
    values, texts = np.full((n, n), np.nan), {}
    for i in range(n):
        for j in range(i + 1, n):
            e = probability_of_improvement(grid.strata(methods[i], grid.scored), grid.strata(methods[j], grid.scored), 2000)
            for a, b, p, low, high in ((i, j, e.value, e.low, e.high), (j, i, 1 - e.value, 1 - e.high, 1 - e.low)):
                values[a, b] = p
                texts[a, b] = f"{p:.2f}" + ("" if np.isnan(low) else f"\n[{max(low, 0):.2f}, {min(high, 1):.2f}]")
    side = max(WIDTH, 0.62 * n + 1.6)
    figure, axes = canvas(0.52 * n + 1.5)
    figure.set_figwidth(side)
    axes.pcolormesh(values, cmap="Blues", vmin=-0.1, vmax=1.5, shading="flat")  # cells as shapes: an image takes 200 MB in a PDF
    axes.invert_yaxis()
    for (a, b), text in texts.items():
        cell = axes.text(b + 0.5, a + 0.5, text, ha="center", va="center", fontsize=6.5, color="#111111")
        cell.set_in_layout(False)  # it lies in the axes; measuring hundreds takes seconds
    middles = np.arange(n) + 0.5
    labels = [grid.label(m, grid.scored) for m in methods]
    axes.set_xticks(middles, labels, rotation=30, ha="right")
    axes.set_yticks(middles, labels)
    axes.grid(False)
    axes.spines[:].set_visible(False)
    axes.set(title="P(a run of the row beats one of the column)", xlabel="", ylabel="")
    return {"improvement": figure}
