"""How often 95 % intervals over data sets hold what they should: `python -m bench.results.coverage` simulates scores and counts."""

from __future__ import annotations

import argparse
from typing import Any

import numpy as np
from scipy import stats

from bench.results.statistics import METRICS, Resamples

CASES = [(9, 10), (9, 5), (9, 3), (3, 10), (3, 5), (3, 3), (1, 3)]  # data sets, seeds
SPREAD = 10.0  # standard deviation over seeds; data sets' levels are spread from 20 to 90
QUANTILES = 20_000  # of a distribution, that stand for all seeds there could be
KINDS: dict[str, Any] = {"normal": stats.norm(), "skewed": stats.expon(-1)}  # of mean 0 and standard deviation 1


def covered(
    tasks: int, seeds: int, metric: str, simulations: int, kind: str = "normal", resamples: int = 1000, plain: bool = False
) -> float:
    """Share of simulations whose interval (rliable's if `plain`) holds the true value."""
    rng = np.random.default_rng(tasks * 100 + seeds)
    levels = np.linspace(20, 90, tasks)[:, None]
    everyone = levels + SPREAD * KINDS[kind].ppf((np.arange(QUANTILES) + 0.5) / QUANTILES)
    truth = {"mean": everyone.mean(), "iqm": stats.trim_mean(everyone, 0.25, axis=None), "median": np.median(everyone.mean(1))}[metric]
    drawn = Resamples([seeds] * tasks, resamples)
    samples = levels + SPREAD * KINDS[kind].rvs((simulations, tasks, seeds), random_state=rng)
    found = (drawn.estimate(METRICS[metric], list(sample), plain=plain) for sample in samples)
    return float(np.mean([e.low <= truth <= e.high for e in found]))


def main() -> None:
    parser = argparse.ArgumentParser(
        description="Simulated coverage of nominal 95 % intervals, of normal and of skewed (exponential) scores; plain: rliable's."
    )
    parser.add_argument("--simulations", type=int, default=1000)
    simulations = parser.parse_args().simulations
    print("data sets x seeds  metric   plain  normal  skewed")
    for tasks, seeds in CASES:
        for metric in ("mean", "iqm", "median"):
            plain = covered(tasks, seeds, metric, simulations, plain=True)
            normal, skewed = (covered(tasks, seeds, metric, simulations, kind) for kind in KINDS)
            print(f"{f'{tasks} x {seeds}':<17}  {metric:<7}  {plain:5.1%}  {normal:6.1%}  {skewed:6.1%}")


if __name__ == "__main__":
    main()
