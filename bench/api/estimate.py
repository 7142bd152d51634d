"""Estimate returns of finished runs' policies from logged data, without an environment."""

from __future__ import annotations

from collections.abc import Sequence
from os import PathLike
from pathlib import Path

import pandas as pd

from algos.estimators.fitted_q import FittedQConfig
from bench.selection.options import Options
from bench.selection.select import select

PathOrRun = str | PathLike[str]


def estimate(
    runs: PathOrRun | Sequence[PathOrRun],
    estimators: Sequence[str] = ("fqe",),
    *,
    data: str | None = None,
    behaviour: str = "stated",
    discount: float = 0.99,
    updates: int = 5_000,
    seed: int = 0,
) -> pd.DataFrame:
    """Estimate the returns of all policies of `runs`: the rows of `python -m bench select`, one for each policy and estimator.

    The column `estimate` is larger for better policies; within an estimator, the best policies come first. It is NaN for a policy that the
    estimator cannot rate. `true_return` and `true_score` are the run's own.

    Arguments:
        runs: a run, a suite, a path to either, or several.
        estimators: names; docs/selection.md lists them.
        data: a data set, or an expression, in place of the one that the runs were trained on.
        behaviour: densities of logged actions: stated by the data, or fitted to them.
        discount: of future rewards.
        updates: of fitted Q evaluation.
        seed: of the split into episodes, initial critics and batches.

    Raises ConfigError for a value that cannot be used, RunError for runs that have no policies or cannot be compared, DataError for data
    that cannot be read.
    """
    several = [runs] if isinstance(runs, str | PathLike) else list(runs)
    options = Options(tuple(estimators), data, behaviour, fqe=FittedQConfig(updates, discount=discount, seed=seed))
    return select([Path(run) for run in several], options).rows
