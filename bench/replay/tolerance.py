"""The tolerance between returns recorded on one machine and played again on another, where rounding differs and chaos magnifies it.

The verifier plays every episode several times from its recorded start, each time with parameters perturbed by about a rounding error. The
spread of these returns about their mean, for each start, is the noise of rounding. The recorded returns enter no variance: a forger cannot
widen the tolerance.

For seed s with E episodes, each played R times by the verifier:

    d_s  = mean over episodes of (recorded return - mean of the R played ones)
    w_s  = (sum of squares within starts + PRIOR * v_s) / (E (R - 1) + PRIOR), v_s the variance of all returns played for the seed
    SE_s = sqrt(w_s (1 + 1 / R) / E)

PRIOR accounts for events too rare for the verifier to have seen. Every d_s / SE_s, and the mean of d_s over seeds by its own error, must
stay within Student's quantile, Bonferroni-corrected to NOMINAL for the run. `bench.replay.power` measures it for real policies.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from scipy import special

NOMINAL = 2e-4  # false alarms of a run if the noise were normal; measured: at most 1 in 1,000
PRIOR = 25.0  # episodes that weigh the spread over starts into the noise
POWER = 0.99  # share of forgeries of the size `smallest` that are found
ROUNDING = 1e-6  # relative size of the perturbation of parameters, about ten units in the last place of a float32
COARSE = 1e-3  # of a run whose products were in TF32 or bfloat16 on a GPU


class Comparison(NamedTuple):
    """The result of `compare`.

    within: no mean differs by more than the tolerance. worst: the largest difference over its tolerance. seed: its position, None for the
    mean over seeds. smallest: the change of the mean return over seeds that is found with probability POWER.
    """

    within: bool
    worst: float
    seed: int | None
    smallest: float


def compare(recorded: np.ndarray, played: np.ndarray, spread: float = 0.0, tests: int = 1) -> Comparison:
    """Compare returns `recorded` [S, E] with `played` [R, S, E], R >= 2, all finite.

    spread: standard deviation of returns to assume where all played ones are equal, such as the data's. tests: comparisons that share the
    rate of false alarms.
    """
    plays, seeds, episodes = played.shape
    center = played.mean(0)
    within = ((played - center) ** 2).sum((0, 2))
    overall = played.var((0, 2))
    overall = np.where(overall > 0, overall, spread**2)
    freedom = episodes * (plays - 1) + PRIOR
    floor = (ROUNDING * np.abs(played).max()) ** 2  # a return in float64 of rewards in float32
    variance = (within + PRIOR * overall) / freedom * (1 + 1 / plays) / episodes + floor
    difference = (recorded - center).mean(1)
    count = tests * (seeds + 1 if seeds > 1 else 1)
    limit = float(special.stdtrit(freedom, 1 - NOMINAL / 2 / count))
    errors = np.sqrt(np.maximum([*variance, variance.sum() / seeds**2], np.finfo(float).tiny))
    ratios = np.abs([*difference, difference.mean()]) / (limit * errors)
    worst = int(ratios.argmax())
    found = float(special.ndtri(POWER))
    return Comparison(bool(ratios.max() <= 1), float(ratios.max()), worst if worst < seeds else None, float((limit + found) * errors[-1]))
