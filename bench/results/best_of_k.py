"""Gain from tuning: the expected score of the best of k configurations, chosen from all or from few evaluation episodes."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from scipy.special import gammaln


def expected_best(scores: Sequence[float] | np.ndarray) -> np.ndarray:
    """Expected maximum of k of the C `scores`, drawn without replacement: [C], entry k - 1 (unbiased, Tang et al. 2020).

    It assumes a choice without noise, and is therefore an upper bound of the gain from k trials.
    """
    x = np.sort(np.asarray(scores, np.float64))
    count = len(x)

    def log_choose(n: np.ndarray | int, k: int) -> np.ndarray:
        n = np.asarray(n, np.float64)
        return gammaln(n + 1) - gammaln(k + 1) - gammaln(n - k + 1)

    expected = []
    for k in range(1, count + 1):
        ranks = np.arange(k, count + 1)  # the maximum of k has rank k at least
        expected.append(float((np.exp(log_choose(ranks - 1, k - 1) - log_choose(count, k)) * x[ranks - 1]).sum()))
    return np.array(expected)


def expected_chosen(episodes: Sequence[np.ndarray], configurations: int, evaluations: int, draws: int = 2_000, seed: int = 0) -> float:
    """Expected score of the configuration that looks best among `configurations` tried with `evaluations` episodes each.

    `episodes` holds the scores of every configuration's episodes. The choice is simulated `draws` times: configurations are drawn without
    replacement, their episodes with replacement; the chosen configuration counts with the mean over all its episodes.
    """
    rng = np.random.default_rng(seed)
    values = np.array([np.mean(e) for e in episodes])
    seen = np.stack([rng.choice(np.asarray(e, np.float64), (draws, evaluations)).mean(1) for e in episodes], axis=1)  # [draws, C]
    tried = rng.random(seen.shape).argsort(1) < configurations
    return float(values[np.where(tried, seen, -np.inf).argmax(1)].mean())
