"""The tolerance between returns recorded on one machine and played again on another, where rounding differs and chaos magnifies it.

The verifier plays every episode several times from its recorded start, each time with parameters perturbed by about a rounding error. The
spread of these returns about their mean, for each start, is the noise of rounding. The recorded returns enter no variance: a forger cannot
widen the tolerance.

For seed s with E episodes, each played R times by the verifier:

    d_s  = mean over episodes of (recorded return - mean of the R played ones)
    w_s  = (sum of squares within starts + PRIOR * v_s) / (E (R - 1) + PRIOR), v_s the variance of all returns played for the seed
    SE_s = sqrt(w_s (1 + 1 / R) / E)
    u    = share of the R played returns of a start below the recorded one, minus 1/2; equal ones count half

PRIOR accounts for events too rare for the verifier to have seen. Three statistics must stay within their quantiles: the mean of d_s over
seeds, by its own error (Student's t); every d_s / SE_s; and the mean of u, whose error is sqrt((R + 2) / (12 R S E)) for any noise, since a
recorded return is one more draw of the same kind. The ranks find a small change of every return where few episodes make most of the noise.
SHARES divides FALSE_ALARMS among the three. Rare jumps, such as a fall or a success, have longer tails than normal noise: the quantile z of
a mean is widened by (z^2 - 1) / 6 J / E, as that of a Poisson variable with jumps of size J (Cornish and Fisher 1938).
`bench.replay.power` measures all of it for real policies.

The recorded mean has the noise of one play of S E episodes, whatever the verifier does, so no verifier can find changes below `bound`.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from scipy import special

FALSE_ALARMS = 8e-4  # of a run if the noise were normal; measured: at most 1 in 1,000
SHARES = {"mean": 0.5, "seeds": 0.25, "ranks": 0.25}
PRIOR = 25.0  # episodes that weigh the spread over starts into the noise
POWER = 0.99  # share of forgeries of the size `smallest` that are found
GOAL = 0.05  # of the mean return: a change that is to be found
MORE = 4  # times as many plays where GOAL needs them
ROUNDING = 1e-6  # relative size of the perturbation of parameters, about ten units in the last place of a float32
COARSE = 1e-3  # of a run whose products were in TF32 or bfloat16 on a GPU
NORMAL = 1.596  # third absolute moment of a normal variable
MEAN, RANKS = "the mean over seeds", "the rank of the recorded returns among those played"


class Comparison(NamedTuple):
    """The result of `compare`.

    within: no statistic is beyond its tolerance. worst: the largest one over its tolerance. what: its name; seed: its position among the
    seeds, None for a statistic of all. smallest: the change of the mean return over seeds that is found with probability POWER. bound: the
    smallest change that any verifier could find so. mean: that of the played returns.
    """

    within: bool
    worst: float
    what: str
    seed: int | None
    smallest: float
    bound: float
    mean: float

    @property
    def share(self) -> float:
        """`smallest` as a share of the mean return."""
        return self.smallest / max(abs(self.mean), 1e-12)

    @property
    def decides(self) -> bool:
        """True if a change of GOAL would be found."""
        return self.share <= GOAL


def compare(recorded: np.ndarray, played: np.ndarray, spread: float = 0.0, tests: int = 1) -> Comparison:
    """Compare returns `recorded` [S, E] with `played` [R, S, E], R >= 2, all finite.

    spread: standard deviation of returns to assume where all played ones are equal, such as the data's. tests: comparisons that share the
    rate of false alarms.
    """
    plays, seeds, episodes = played.shape
    scale = ROUNDING * np.abs(played).max()  # a return in float64 of rewards in float32
    difference = (recorded - played.mean(0)).mean(1)
    variance = _noise(played, spread) * (1 + 1 / plays) / episodes + scale**2
    errors = np.sqrt(np.maximum([variance.sum() / seeds**2, *variance], np.finfo(float).tiny))
    freedom = episodes * (plays - 1) + PRIOR
    rates = {name: FALSE_ALARMS * share / tests for name, share in SHARES.items()}
    of_all = rates["mean"] + (rates["seeds"] if seeds == 1 else 0)
    quantiles = np.array([special.stdtrit(freedom, 1 - rate / 2) for rate in (of_all, *[rates["seeds"] / seeds] * seeds)])
    jumps = _jumps(played)
    sizes = np.array([jumps.max() / (seeds * episodes), *(jumps / episodes)])
    tolerances = quantiles * errors + (quantiles**2 - 1) / 6 * sizes
    ratios = (np.abs([difference.mean(), *difference]) / tolerances)[: 1 if seeds == 1 else None]
    ranks = abs(_ranks(recorded, played, scale)) / -float(special.ndtri(rates["ranks"] / 2))
    worst = int(ratios.argmax())
    what, seed = (MEAN, None) if worst == 0 else ("the mean of a seed", worst - 1)
    if ranks > ratios[worst]:
        what, seed = RANKS, None
    largest = max(float(ratios[worst]), ranks)
    found = float(special.ndtri(POWER))
    ideal = np.sqrt(((played - played.mean(0)) ** 2).sum(0).mean() / (plays - 1) / (seeds * episodes))
    bound = (found - float(special.ndtri(FALSE_ALARMS / 2 / tests))) * ideal
    return Comparison(largest <= 1, largest, what, seed, float(tolerances[0] + found * errors[0]), float(bound), float(played.mean()))


def _noise(played: np.ndarray, spread: float) -> np.ndarray:
    """w_s: the variance of an episode's return about its start's mean, [S]."""
    plays, _, episodes = played.shape
    within = ((played - played.mean(0)) ** 2).sum((0, 2))
    overall = played.var((0, 2))
    overall = np.where(overall > 0, overall, spread**2)
    return (within + PRIOR * overall) / (episodes * (plays - 1) + PRIOR)


def _jumps(played: np.ndarray) -> np.ndarray:
    """J_s: the third absolute moment of the noise over its variance, as far as it is larger than that of normal noise, [S]."""
    noise = np.abs(played - played.mean(0))
    second, third = ((noise**k).mean((0, 2)) for k in (2, 3))
    return np.maximum(np.divide(third, second, out=np.zeros_like(second), where=second > 0) - NORMAL * np.sqrt(second), 0)


def _ranks(recorded: np.ndarray, played: np.ndarray, scale: float) -> float:
    """The mean of u over its error; returns nearer than `scale` are equal."""
    plays = len(played)
    above = recorded - played
    shares = np.where(np.abs(above) <= scale, 0.5, above > 0).mean(0) - 0.5
    return float(shares.mean() / np.sqrt((plays + 2) / (12 * plays * shares.size)))
