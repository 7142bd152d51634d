"""What a score costs: training time, and tuning."""

from __future__ import annotations

import numpy as np
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from bench.report.figures.style import WIDTH, Look, canvas, legend, looks, short
from bench.results.best_of_k import expected_best, expected_chosen
from bench.results.episodes import counted, reference_of
from bench.results.grid import Grid, Runs

EPISODES = (1, 5)  # episodes that a configuration is judged by when it is chosen


def cost(grid: Grid, look: dict[str, Look]) -> dict[str, Figure]:
    """Mean score against mean wall time a seed, training and evaluation together, over the data sets that have scores."""
    methods = grid.complete(grid.scored) if grid.scored else []
    figure, axes = canvas()
    drawn = False
    for method in methods:
        records = [grid.records[d, method] for d in grid.scored]
        times = [r["wall_time_s"] / len(r["seeds"]) for r in records if r.get("wall_time_s")]
        if not times:
            continue
        drawn = True
        score = float(np.mean([x.mean() for x in grid.strata(method, grid.scored)]))
        (point,) = axes.plot([np.mean(times)], [score], label=method, color=look[method].colour, linestyle="", markersize=7)
        point.set(marker=look[method].marker, alpha=0.8)  # what lies below another shows through
    if not drawn:
        return {}
    axes.set(xlabel="seconds a seed, training and evaluation (without shared pi_ref)", ylabel="mean score")
    axes.margins(0.12)
    legend(figure, axes)
    return {"cost": figure}


def tuning(runs: Runs) -> dict[str, Figure]:
    """Score to expect of the best of k configurations of a method, by data set; only where a method has several.

    Left against configurations tried, right against evaluation episodes spent on choosing: k times the episodes that each is judged by.
    """
    families: dict[tuple[str, str], list[np.ndarray]] = {}
    for record, episodes in runs:
        reference = reference_of(record)
        if reference is not None:
            rows = counted(record, episodes)
            final = rows[rows["update"] == record["updates"]]["return"].to_numpy()
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
            counts = np.arange(1, len(configurations) + 1)
            curves = {
                "all episodes": (expected_best([c.mean() for c in configurations]), float(np.mean([len(c) for c in configurations])), "-")
            }
            for episodes, line in zip(EPISODES, (":", "--"), strict=True):
                chosen = np.array([expected_chosen(configurations, int(k), episodes) for k in counts])
                curves[f"{episodes} a trial"] = chosen, float(episodes), line
            for name, (scores, episodes, line) in curves.items():
                look = {"color": style[algo].colour, "marker": style[algo].marker, "markersize": 4, "linestyle": line}
                tried.plot(counts, scores, label=f"{algo}, {name}", **look)
                spent.plot(counts * episodes, scores, **look)
        tried.set(xlabel="configurations tried", ylabel="expected score of the chosen one")
        spent.set(xlabel="episodes spent", xscale="log")
        tried.xaxis.set_major_locator(MaxNLocator(integer=True))
        figure.suptitle(short(dataset), fontsize=9)
        legend(figure, tried)
        figures[f"tuning-{dataset.replace('/', '-')}"] = figure
    return figures
