"""The bounds of SFT and iw-SFT: how tight they are, at which q, and what that costs.

J(p) = E_ref[(p / ref) R] for trajectories tau of pi_ref, R >= 0 (here 0 or 1) and a policy p; p / ref is a product over steps, from which
the transitions cancel. Source: arXiv 2507.12856, sections 3 and 4.

* SFT. x >= 1 + log x at x = p / ref: J >= E_ref[R] + E_ref[R log(p / ref)].
* iw-SFT. The same at x = p / q, times q / ref: J >= E_ref[(q / ref) R (1 + log(p / q))]. Equality if q = p wherever R > 0.
* Any weights. x >= 1 + log x holds point by point, so q need not be a distribution: for every w(tau) >= 0,
  J >= E_ref[w R (1 + log(p / ref) - log w)]. SFT is w = 1, iw-SFT is w = q / ref. Only w log p depends on theta.
* Scale. With J_ref = E_ref[R], E+ the mean over rewarded trajectories, w of mean 1 there, and K = E+[w (log(p / ref) - log w)], the
  bound is J_ref (1 + K). Of all multiples of w, exp(K) w gives the best bound, J_ref exp(K). Both have the same gradient but for a factor.
* Tightness. log(J / J_ref) - K = KL(w ref+ || p+), with p+ and ref+ the distributions of rewarded trajectories of p and of pi_ref. SFT's
  gap is KL(ref+ || p+). For w = (p / ref)^alpha the derivative of the gap in alpha is -(1 - alpha) times the variance of log(p / ref) under
  w ref+: the gap falls up to alpha = 1, where it is 0, and rises beyond.

A bound of J remains with weights of a whole trajectory, whatever made them. Clipped: the bound of the clipped w. Self-normalised and
centred: the same weights but for a scale, which the loss drops; J_ref (1 + K) is tight at q = p only after rescaling. Tempered: the bound
of q_alpha, proportional to ref^(1 - alpha) q^alpha. The mean over steps instead of the sum: alpha = temperature / length. `per_episode`:
that of w / length.

No bound of J: a weight for each step and weights by probability (DFT) are not of this form. On the trajectories that p was trained on, the
inequality holds for the importance-sampling estimate of J, which is too high because p depends on them. With a fitted pi_ref in place of
the density that gave the data, nothing is bounded. Weights normalised within a batch estimate the normalised ones, with a bias of order
1 / batch.

The bandit and a decision process are enumerated, so every number is exact. iwsft/fork-v0 and iwsft/hopper/mixed-v0 are sampled: recorded
densities of the behaviour, J by rollouts with sampled actions. A policy's density outside the bounds of actions counts as 0 there.
"""

from __future__ import annotations

import csv
from dataclasses import replace
from pathlib import Path
from typing import Any

from bench.errors import DataError, RunError, first_line
from bench.storage.rundir import read_csv
from bench.studies.bounds import exact, sampled
from bench.studies.bounds.figure import figure
from bench.studies.bounds.sampled import Size
from bench.studies.bounds.verdict import verdict
from bench.studies.study import ROWS, Found, Options

UPDATES = 400
SIZES = (
    Size("iwsft/fork-v0", 4, 10, 128, ("algo.hidden=[64,64]",), seeds=(0, 1, 2)),
    Size("iwsft/hopper/mixed-v0", 40, 40, 64),
)
TOY = Size("iwsft/fork-v0", 1, 1, 16, ("algo.hidden=[8]", "pi_ref.updates=20", "algo.updates=20"), stages=(0, 1))
WORDS = ("setting", "method", "q", "sample", "density")  # columns that hold no number


def datasets() -> list[str]:
    """The sampled data sets."""
    return [size.dataset for size in SIZES]


def study(options: Options) -> Found:
    kept = _kept(options.out / "bound" / ROWS)
    rows: list[dict[str, Any]] = []
    for setting in exact.settings():
        rows += exact.rows(setting, 2 * exact.EARLY if options.toy else UPDATES)
    for size in (TOY,) if options.toy else SIZES:
        if options.train and options.only in (None, size.dataset):
            rows += sampled.rows(_sized(size, options))
        else:
            rows += [row for row in kept if row["setting"] == size.dataset]
    return Found(rows, figure(rows), verdict(rows))


def _sized(size: Size, options: Options) -> Size:
    """`size` with the number of seeds and rollouts that was asked for."""
    seeds = size.seeds if options.seeds is None else tuple(range(options.seeds))
    return replace(size, seeds=seeds, rollouts=options.episodes or size.rollouts)


def _kept(path: Path) -> list[dict[str, Any]]:
    """Rows that this study wrote before; none if there are none. Raises RunError for a damaged table."""
    if not path.is_file():
        return []
    try:
        return [{k: v if k in WORDS else float(v) for k, v in row.items() if v != ""} for row in read_csv(path)]
    except (DataError, TypeError, ValueError, csv.Error) as error:
        raise RunError(f"{path}: cannot be read as rows of a study ({first_line(error)}); move it away to begin anew") from error
