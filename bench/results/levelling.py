"""Judgement of a run's length: its learning curve has levelled off, and it had the paper's number of updates.

A row that still rises, or that had fewer updates than the paper's, is marked: tables, figures and tests compare marked rows with marked
ones alone. The rule, its rate of false alarms and its power: docs/statistics.md.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import pandas as pd
from scipy import special

from bench.results.episodes import learning_curve, reference_of
from bench.storage.layout import Row

LEVEL = 0.05  # of each of the two one-sided tests
SHARE = 0.05  # of the last quarter's mean: a smaller gain counts as none
POINTS = 1.0  # the smallest such gain, in points of score
EVALUATIONS = 2  # that a quarter needs at least
SEEDS = 2  # that the test needs at least

RISES, FEW_UPDATES = "rises", "few updates"
"""The marks of a row."""
SYMBOLS = {FEW_UPDATES: "†", RISES: "‡"}
"""Their signs in tables and figures."""


class Rise(NamedTuple):
    """Gain of the last quarter of the updates over the quarter before it: mean over seeds, its one-sided 95 % bounds, and the gain that
    counts as none."""

    mean: float
    low: float
    high: float
    tolerance: float

    @property
    def levelled_off(self) -> bool | None:
        """True if the gain is below the tolerance, False if it is above 0, None if the seeds cannot tell."""
        if self.high <= self.tolerance:
            return True
        return False if self.low > 0 else None


def levelled_off(record: Row, episodes: pd.DataFrame) -> bool | None:
    """True if more updates would not have helped the run; None if its curve is too short, or its seeds too few, to judge.

    A result of `pooled` states it.
    """
    if "levelled_off" in record:
        stated: bool | None = record["levelled_off"]
        return stated
    found = rise_of(record, episodes)
    return None if found is None else found.levelled_off


def rise_of(record: Row, episodes: pd.DataFrame) -> Rise | None:
    """The gain of a run over its last two quarters, in points of score (raw return without reference scores).

    Seeds are the sample (paired t). A seed with a failed episode in one of the two quarters is left out. None with fewer than EVALUATIONS
    evaluations in a quarter, or fewer than SEEDS seeds.
    """
    if not record["final_episodes"]:
        return None
    curve, reference = learning_curve(record | {"reference": None}, episodes), reference_of(record)  # a failed episode makes it NaN
    first = record["updates"] - steps if (steps := record.get("online_steps", 0)) else 0  # an online phase is judged by itself
    share = (curve.index.to_numpy() - first) / (record["updates"] - first)
    quarters = [curve.to_numpy()[(low < share) & (share <= low + 0.25)] for low in (0.5, 0.75)]  # [evaluations, seeds] each
    if min(map(len, quarters)) < EVALUATIONS:
        return None
    before, last = (quarter.mean(0) if reference is None else reference.score(quarter.mean(0)) for quarter in quarters)
    known = np.isfinite(before) & np.isfinite(last)
    if known.sum() < SEEDS:
        return None
    gain, level = (last - before)[known], abs(float(last[known].mean()))
    half = float(special.stdtrit(len(gain) - 1, 1 - LEVEL)) * float(gain.std(ddof=1)) / float(np.sqrt(len(gain)))
    tolerance = max(SHARE * level, 0.0 if reference is None else POINTS)
    return Rise(float(gain.mean()), float(gain.mean()) - half, float(gain.mean()) + half, tolerance)


def has_few_updates(record: Row) -> bool:
    """True if the method, or the pi_ref that it starts from, had fewer updates than conf/ has by default: the paper's."""
    own = [(record["updates"] - record.get("online_steps", 0), record.get("default_updates"))]
    if (default := record.get("default_pi_ref_updates")) is not None:
        own.append((record["pi_ref_updates"], default))
    return any(default is not None and updates < default for updates, default in own)


def training_marks(record: Row, episodes: pd.DataFrame) -> tuple[str, ...]:
    """The marks of a run: RISES, FEW_UPDATES; none for a run without an environment."""
    if not record["final_episodes"]:
        return ()
    rises = levelled_off(record, episodes) is False
    return (RISES,) * rises + (FEW_UPDATES,) * has_few_updates(record)
