"""Cost of a score: training time, and tuning."""

from __future__ import annotations

import numpy as np
from matplotlib.figure import Figure
from matplotlib.ticker import LogFormatter, MaxNLocator

from bench.report.figures.style import WIDTH, Look, canvas, file_name, legend, looks, short
from bench.results.best_of_k import expected_best, expected_chosen
from bench.results.episodes import counted_returns, reference_of
from bench.results.grid import Grid
from bench.results.levelling import training_marks
from bench.results.runs import Runs

POINTS = 16  # of a curve, at most
EPISODES = (1, 5)  # evaluation episodes of a trial, from which a configuration is chosen


def cost(grid: Grid, look: dict[str, Look]) -> dict[str, Figure]:
    """Mean score against mean wall time per seed (training and evaluation), over the data sets with scores."""
    methods = grid.averaged(grid.scored) if grid.scored else []
    figure, axes = canvas()
    drawn = False
    for method in methods:
        records = [grid.records[d, method] for d in grid.scored]
        times = [r["wall_time_s"] / len(r["seeds"]) for r in records if r.get("wall_time_s")]
        if not times:
            continue
        drawn = True
        score = float(np.mean([x.mean() for x in grid.strata(method, grid.scored)]))
        label = grid.label(method, grid.scored)
        (point,) = axes.plot([np.mean(times)], [score], label=label, color=look[method].colour, linestyle="", markersize=7)
        point.set(marker=look[method].marker, alpha=0.8)  # overlapping points stay visible
    if not drawn:
        return {}
    axes.set(xlabel="seconds a seed, training and evaluation (without shared pi_ref)", ylabel="mean score")
    axes.margins(0.12)
    legend(figure, axes)
    return {"cost": figure}


def tuning(runs: Runs) -> dict[str, Figure]:
    """Expected score of the best of k configurations of a method, a figure for each data set on which some method has several.

    Left: against configurations tried. Right: against evaluation episodes spent on the choice, k times the episodes of a trial.
    """
    families: dict[tuple[str, str], list[np.ndarray]] = {}
    marks: dict[tuple[str, str], set[str]] = {}
    for record, episodes in runs:
        marks.setdefault((record["dataset"], record["algo"]), set()).update(training_marks(record, episodes))
        reference = reference_of(record)
        if reference is not None:
            final = counted_returns(record, episodes)[episodes["update"].to_numpy() == record["updates"]]
            families.setdefault((record["dataset"], record["algo"]), []).append(reference.score(final))
    several = {key: found for key, found in families.items() if len(found) > 1}
    figures = {}
    style = looks(sorted({algo for _, algo in several}))
    for dataset in sorted({d for d, _ in several}):
        figure = Figure(figsize=(WIDTH, 3.2))
        tried, spent = figure.subplots(1, 2, sharey=True)
        for (own, algo), configurations in sorted(several.items()):
            if own != dataset:
                continue
            counts = np.unique(np.geomspace(1, len(configurations), POINTS).round().astype(int))
            best = expected_best([c.mean() for c in configurations])[counts - 1]
            curves = {"all episodes": (best, float(np.mean([len(c) for c in configurations])), "-")}
            draws = max(200, 2_000 * POINTS // max(POINTS, len(configurations)))
            for episodes, line in zip(EPISODES, (":", "--"), strict=True):
                chosen = np.array([expected_chosen(configurations, int(k), episodes, draws) for k in counts])
                curves[f"{episodes} a trial"] = chosen, float(episodes), line
            label = f"{algo} ({', '.join(sorted(own_marks))})" if (own_marks := marks[dataset, algo]) else algo
            for name, (scores, episodes, line) in curves.items():
                look = {"color": style[algo].colour, "marker": style[algo].marker, "markersize": 4, "linestyle": line}
                tried.plot(counts, scores, label=f"{label}, {name}", **look)
                spent.plot(counts * episodes, scores, **look)
        tried.set(xlabel="configurations tried", ylabel="expected score of the chosen one")
        spent.set(xlabel="episodes spent", xscale="log")
        spent.xaxis.set_major_formatter(LogFormatter())
        tried.xaxis.set_major_locator(MaxNLocator(integer=True))
        figure.suptitle(short(dataset), fontsize=9)
        legend(figure, tried)
        figures[f"tuning-{file_name(dataset)}"] = figure
    return figures
