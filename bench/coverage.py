"""How often 95 % intervals over data sets hold what they should: `python -m bench.coverage` simulates normal scores and counts."""

from __future__ import annotations

import argparse

import numpy as np
from scipy import stats

from bench.statistics import METRICS, Resamples, interval

CASES = [(9, 10), (9, 5), (9, 3), (3, 5), (3, 3)]  # data sets, seeds
SPREAD = 10.0  # standard deviation over seeds; data sets' levels are spread from 20 to 90
QUANTILES = 20_000  # of the normal distribution, that stand for all seeds there could be


def covered(tasks: int, seeds: int, metric: str, simulations: int, resamples: int = 1000) -> tuple[float, float]:
    """Share of simulations whose plain and expanded intervals hold the true value."""
    rng = np.random.default_rng(tasks * 100 + seeds)
    levels = np.linspace(20, 90, tasks)[:, None]
    everyone = levels + SPREAD * stats.norm.ppf((np.arange(QUANTILES) + 0.5) / QUANTILES)
    truth = {"mean": everyone.mean(), "iqm": stats.trim_mean(everyone, 0.25, axis=None), "median": np.median(everyone.mean(1))}[metric]
    drawn = Resamples([seeds] * tasks, resamples)
    found = np.zeros(2)
    for _ in range(simulations):
        sample = (levels + rng.normal(0, SPREAD, (tasks, seeds))).ravel()
        values = METRICS[metric](sample, drawn.counts, drawn.sizes)
        for i, expanded in enumerate((False, True)):
            low, high = interval(values, drawn.sizes, expanded=expanded)
            found[i] += low <= truth <= high
    plain, expanded_share = found / simulations
    return float(plain), float(expanded_share)


def main() -> None:
    parser = argparse.ArgumentParser(description="Simulated coverage of nominal 95 % intervals: plain percentiles, and expanded ones.")
    parser.add_argument("--simulations", type=int, default=2000)
    simulations = parser.parse_args().simulations
    print("data sets x seeds  metric   plain  expanded")
    for tasks, seeds in CASES:
        for metric in ("mean", "iqm", "median"):
            plain, expanded = covered(tasks, seeds, metric, simulations)
            print(f"{f'{tasks} x {seeds}':<17}  {metric:<7}  {plain:5.1%}  {expanded:8.1%}")


if __name__ == "__main__":
    main()
