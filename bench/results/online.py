"""The gain of an online phase, seed by seed: the score before and after it, the area under its curve, and the regret of collecting.

before, after   mean over the final episodes of the offline policy, and of the last iterate
area            mean score over the phase: the area under the curve of its evaluations (trapezoids, their first `eval_episodes` episodes),
                divided by its steps
regret          100 - mean score of the episodes that the member collected itself, exploration included: what acting cost, an episode

Raw returns without reference scores, where there is no regret.
"""

from __future__ import annotations

import numpy as np
import pandas as pd

from bench.results.episodes import counted_returns, learning_curve, reference_of, selected
from bench.results.pooling import metrics_of
from bench.storage.layout import ONLINE_RETURN, Row

COLUMNS = ("before", "after", "area", "regret")


def online_results(record: Row, episodes: pd.DataFrame) -> pd.DataFrame:
    """COLUMNS for each seed of a pooled run with an online phase."""
    reference, played = reference_of(record), selected(record, episodes)
    offline, last = record["updates"] - record["online_steps"], record["updates"]
    curve = learning_curve(record, episodes)
    curve = curve[curve.index >= offline]
    found = pd.DataFrame(index=curve.columns, columns=COLUMNS, dtype=float)
    for name, update in (("before", offline), ("after", last)):
        own = played[played["update"] == update]
        if len(own):
            returns = pd.Series(counted_returns(record, own), own["seed"].to_numpy()).groupby(level=0).mean()
            found[name] = returns if reference is None else pd.Series(reference.score(returns.to_numpy()), returns.index)
    if len(curve) > 1:
        found["area"] = np.trapezoid(curve.to_numpy(), curve.index.to_numpy(), axis=0) / np.ptp(curve.index.to_numpy())
    metrics = metrics_of(record)
    if reference is not None and metrics is not None and ONLINE_RETURN in metrics:
        collected = metrics[metrics["update"] == last].set_index("seed")[ONLINE_RETURN]
        found["regret"] = 100 - pd.Series(reference.score(collected.to_numpy(float)), collected.index)
    return found
