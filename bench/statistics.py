"""Statistics over seeds. A seed's value is the mean over its evaluation episodes; seeds are the sample."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from scipy import stats


class Summary(NamedTuple):
    """Mean, standard deviation (ddof 1) and 95 % interval of the mean. All but the mean are NaN for a single seed."""

    mean: float
    std: float
    low: float
    high: float


def summarise(values: Sequence[float] | np.ndarray, confidence: float = 0.95) -> Summary:
    """Summary of one value a seed; the interval is Student's t, honest for the few seeds that one has."""
    x = np.asarray(values, np.float64)
    mean = float(x.mean())
    if len(x) < 2:
        return Summary(mean, float("nan"), float("nan"), float("nan"))
    std = float(x.std(ddof=1))
    half = float(stats.t.ppf(0.5 + confidence / 2, len(x) - 1)) * std / float(np.sqrt(len(x)))
    return Summary(mean, std, mean - half, mean + half)
