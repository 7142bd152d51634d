"""Estimates of the policies of runs and suites, and their accuracy where true returns are known, as rows."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pandas as pd

from bench.config.estimates import ESTIMATES
from bench.results.episodes import reference_of
from bench.selection.accuracy import accuracy, at_random
from bench.selection.candidates import Candidates, candidates
from bench.selection.estimates import estimates
from bench.selection.logged import logged
from bench.selection.options import Options
from bench.training.device import device_of

ROWS = [
    "dataset", "algo", "run", "seed", "true_return", "true_score", "estimator", "policy", "estimate", "estimated_return", "estimated_score",
    "effective_episodes",
]  # fmt: skip
ACCURACY = ["dataset", "estimator", "policy", "policies", "rated", "unit"]
METRICS = ("correlation", "regret_1", "regret_3")
AT_RANDOM = "at random"


class Selected(NamedTuple):
    """Rows: one for each policy and estimator. accuracy: one for each data set and estimator, none where no true return is known."""

    rows: pd.DataFrame
    accuracy: pd.DataFrame


def select(paths: Sequence[Path], options: Options) -> Selected:
    """Estimates of all policies of the runs and suites at `paths`, best policies first within an estimator, and their accuracy.

    Raises ConfigError, RunError or DataError for a user's mistake (`candidates`, `logged`).
    """
    options.check()
    device = device_of("auto")
    parts = []
    for group in candidates(paths, device):
        data = logged(group, options, device)
        print(f"{group.dataset}: estimating the returns of {len(group.policies)} policies", file=sys.stderr, flush=True)
        found = estimates(group.populations, data, options)
        intercept, slope = data.to_undiscounted(options.fqe.discount)
        policies = pd.DataFrame(group.policies)
        for name in options.estimators:
            values, needs = found.values[name].numpy(), ESTIMATES[name]
            returns = intercept + slope * values if needs.unit else np.full(len(values), np.nan)
            effective = found.effective.numpy() if needs.behaviour else np.nan
            scores = _scores(group, returns)
            table = policies.assign(
                dataset=group.dataset, estimator=name, policy=needs.form, estimate=values, estimated_return=returns, estimated_score=scores,
                effective_episodes=effective,
            )  # fmt: skip
            parts.append(table.sort_values("estimate", ascending=False, kind="stable"))
    rows = pd.concat(parts, ignore_index=True)[ROWS]
    return Selected(rows, accuracies(rows))


def _scores(group: Candidates, returns: np.ndarray) -> np.ndarray:
    """Normalised scores of estimated returns; NaN without reference scores."""
    reference = reference_of(group.record)
    return np.full(len(returns), np.nan) if reference is None else reference.score(returns)


def accuracies(rows: pd.DataFrame) -> pd.DataFrame:
    """The accuracy of every estimator on every data set of `rows`, in scores where they are known, and of a choice at random."""
    found = []
    for dataset, own in rows.groupby("dataset", sort=False):
        unit = "return" if own["true_score"].isna().all() else "score"
        own = own[own[f"true_{unit}"].notna()]
        for name, table in own.groupby("estimator", sort=False):
            table = table.sort_values(["algo", "run", "seed"])  # equal estimates in one order
            truths = table[f"true_{unit}"].to_numpy()
            measured = accuracy(table["estimate"].to_numpy(), truths)
            row = {"dataset": dataset, "estimator": name, "policy": ESTIMATES[str(name)].form, "policies": len(table), "unit": unit}
            for metric in METRICS:
                value = getattr(measured, metric)
                row |= {metric: value.value, f"{metric}_low": value.low, f"{metric}_high": value.high}
            found.append(row | {"rated": measured.rated})
        if len(own):
            first = own.groupby("estimator", sort=False)
            truths = next(iter(first))[1][f"true_{unit}"].to_numpy()
            one, three = at_random(truths)
            found.append({
                "dataset": dataset, "estimator": AT_RANDOM, "policy": "", "policies": len(truths), "rated": 0, "unit": unit,
                "regret_1": one, "regret_3": three,
            })  # fmt: skip
    columns = [*ACCURACY, *(f"{metric}{end}" for metric in METRICS for end in ("", "_low", "_high"))]
    return pd.DataFrame(found, columns=columns)
