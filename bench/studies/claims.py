"""Claims that one method is better than another, tested on the rows of a study and put into words."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np

from bench.results.bootstrap import Estimate, probability_of_improvement
from bench.results.statistics import Comparison, paired, summarise

Scores = Mapping[str, Mapping[str, np.ndarray]]
"""Scores by data set and method, an array of seeds each."""

ACTIONS = {"score": "mean action", "score_sampled": "sampled actions"}
"""Columns of scores, and the actions that gave them."""


class Claim(NamedTuple):
    """P(a run of `better` scores above one of `worse`) > 1/2; with `equal`, no difference is claimed. source: the origin of the claim."""

    better: str
    worse: str
    equal: bool = False
    source: str = ""

    def __str__(self) -> str:
        return f"{NAMES.get(self.better, self.better)} {'is as good as' if self.equal else 'beats'} {NAMES.get(self.worse, self.worse)}"


NAMES = {
    "bc": "BC", "filtered_bc": "10 % BC", "sft": "SFT", "sft_q": "SFT(Q)", "iw_sft": "iw-SFT", "iw_sft_q": "iw-SFT(Q)", "dft": "DFT",
    "iql": "IQL",
    "iw_sft min_ess=0.2": "iw-SFT, ESS 20 %", "iw_sft_q min_ess=0.2": "iw-SFT(Q), ESS 20 %",
    "full": "BC on full data",
}  # fmt: skip


class Tested(NamedTuple):
    """A claim on `datasets`: the probability of improvement, and the difference of mean scores (paired by seed)."""

    claim: Claim
    datasets: list[str]
    probability: Estimate
    difference: Comparison

    @property
    def finding(self) -> str:
        """The result in words, from the interval of the probability."""
        low, high = self.probability.low, self.probability.high
        if np.isnan(low):
            return "too few seeds to tell"
        if low <= 0.5 <= high:
            return "no difference is seen"
        better, equal = low > 0.5, self.claim.equal
        return ("the first is better" if better else "the second is better") if equal else "holds" if better else "the opposite is seen"

    @property
    def contradicted(self) -> bool:
        """True if the interval excludes what is claimed."""
        return self.finding in ("the opposite is seen", "the first is better", "the second is better")

    @property
    def supported(self) -> bool:
        """True if the claim holds; a claim of equality, if no difference is seen."""
        return self.finding == ("no difference is seen" if self.claim.equal else "holds")

    @property
    def cells(self) -> list[str]:
        """Probability with interval, difference with interval, finding: cells of a table."""
        p, d = self.probability, self.difference
        return [_spell(p.value, p.low, p.high, 2), _spell(d.difference, d.low, d.high, 1, "+"), self.finding]


def scores_of(rows: Sequence[Mapping[str, Any]], column: str = "score", label: str = "method") -> dict[str, dict[str, np.ndarray]]:
    """Scores by data set and by the rows' `label`, in the order of seeds; rows without a value are left out."""
    found: dict[str, dict[str, list[float]]] = {}
    for row in sorted(rows, key=lambda row: row["seed"]):
        if np.isfinite(row.get(column, np.nan)):
            found.setdefault(row["dataset"], {}).setdefault(str(row[label]), []).append(row[column])
    return {dataset: {name: np.array(values) for name, values in own.items()} for dataset, own in found.items()}


def judge(claim: Claim, scores: Scores, datasets: Sequence[str] | None = None) -> Tested | None:
    """Test `claim` on those of `datasets` (None: all) that have equal numbers of seeds of both methods; None if none has."""
    pairs = {name: (own[claim.better], own[claim.worse]) for name, own in scores.items() if {claim.better, claim.worse} <= set(own)}
    used = [n for n, (a, b) in pairs.items() if len(a) == len(b) and (datasets is None or n in datasets)]
    if not used:
        return None
    better, worse = [pairs[n][0] for n in used], [pairs[n][1] for n in used]
    return Tested(claim, used, probability_of_improvement(better, worse), paired(worse, better))


def score_cell(values: np.ndarray) -> str:
    """Mean and half of its 95 % interval: "71.3 ± 2.0"."""
    found = summarise(values)
    return f"{found.mean:.1f}" + ("" if np.isnan(found.low) else f" ± {found.high - found.mean:.1f}")


def seeds_and_episodes(rows: Sequence[Mapping[str, Any]]) -> str:
    """The sizes of rows in words: "10 seeds, 50 episodes a seed", with ranges where they differ."""
    return f"{seeds_in(rows)} seeds, {_range([r['episodes'] for r in rows])} final episodes a seed"


def sizes(rows: Sequence[Mapping[str, Any]], datasets: Sequence[str], column: str = "dataset") -> str:
    """`seeds_and_episodes` as a sentence, behind the number of `datasets` that `column` of the rows has so far."""
    done = set(datasets) & {row[column] for row in rows}
    if len(done) in (0, len(datasets)):  # none: a miniature on other data
        return f"{seeds_and_episodes(rows)}."
    return f"{len(done)} of {len(datasets)} data sets so far; {seeds_and_episodes(rows)}. `--only DATASET` adds one, and keeps the others."


def seeds_in(rows: Sequence[Mapping[str, Any]]) -> str:
    """The number of seeds of a method on a data set in words: "10", or "3 to 10" where they differ."""
    found: dict[tuple[Any, ...], set[int]] = {}
    for row in rows:
        found.setdefault((row["dataset"], row.get("method")), set()).add(row["seed"])
    return _range([len(seeds) for seeds in found.values()])


def _range(values: Sequence[int]) -> str:
    low, high = min(values), max(values)
    return str(low) if low == high else f"{low} to {high}"


def _spell(value: float, low: float, high: float, digits: int, sign: str = "") -> str:
    interval = "" if np.isnan(low) else f" [{low:{sign}.{digits}f}, {high:{sign}.{digits}f}]"
    return f"{value:{sign}.{digits}f}{interval}"
