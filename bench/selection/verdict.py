"""The verdict of a selection in words, computed from its rows: what each estimator would have chosen, and how good that is."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import pandas as pd

from bench.config.estimates import ESTIMATES
from bench.selection.select import AT_RANDOM, Selected


def verdict(selected: Selected) -> str:
    """The verdict as Markdown: a list for each data set, and a line over all of them."""
    board = selected.accuracy
    if not len(board):
        return "No true returns are known: the table names each estimator's choices, and nothing says how good they are."
    parts = []
    for dataset, own in board.groupby("dataset", sort=False):
        chance = own[own["estimator"] == AT_RANDOM].iloc[0]
        unit = "points of score" if chance["unit"] == "score" else "of return"
        head = f"**{dataset}**, {chance['policies']} policies"
        if chance["regret_1"] == 0:
            parts.append(f"{head}, all of the same true return: no choice is better than another.")
            continue
        head += f": a choice at random is on average {chance['regret_1']:.3g} {unit} below the best."
        rows = selected.rows[(selected.rows["dataset"] == dataset) & selected.rows[f"true_{chance['unit']}"].notna()]
        parts.append("\n".join([head, "", *(f"- {line}" for line in _lines(own[own["estimator"] != AT_RANDOM], chance, rows))]))
    if len(parts) > 1:
        parts.append(_overall(board))
    return "\n\n".join(parts)


def _lines(board: pd.DataFrame, chance: pd.Series, rows: pd.DataFrame) -> Iterator[str]:
    """Sentences on the estimators of one data set."""
    rated = board[board["regret_1"].notna()]
    if not len(rated):
        return
    best = rated[rated["regret_1"] == rated["regret_1"].min()]
    low, high = best["regret_1_low"].min(), best["regret_1_high"].max()
    yield f"Smallest regret at 1: {best['regret_1'].iloc[0]:.3g} ({', '.join(best['estimator'])}; 95 % {low:.3g} to {high:.3g})."
    if len(worse := rated[rated["regret_1"] > chance["regret_1"]]):
        yield f"No better than chance: {', '.join(worse['estimator'])}."
    yield from _ranking(board, chance, rows)
    first = {name: _first_choice(rows, name) for name in rated["estimator"]}
    yield f"First choices, with their true {chance['unit']}: {', '.join(f'{name} {_spell(row, chance)}' for name, row in first.items())}."
    if len(partial := board[board["rated"] < board["policies"]]):
        without = rows[(rows["estimator"] == partial["estimator"].iloc[0]) & rows["estimate"].isna()]["algo"]
        yield f"Without a density, not rated by stochastic estimates: {', '.join(dict.fromkeys(sorted(without)))}."


def _ranking(board: pd.DataFrame, chance: pd.Series, rows: pd.DataFrame) -> Iterator[str]:
    """Estimators whose rank correlation is clear of 0; and whether the one that ranks best also chooses well."""
    clear = board[board["correlation_low"] > 0].sort_values("correlation", ascending=False, kind="stable")
    if not len(clear):
        yield "No estimator's rank correlation has an interval above 0."
    else:
        yield f"Ranks with the true return, interval above 0: {_correlations(clear)}."
        name, regret = clear["estimator"].iloc[0], clear["regret_1"].iloc[0]
        if regret > chance["regret_1"]:
            row = _first_choice(rows, str(name))
            estimate = row[f"estimated_{chance['unit']}"]
            shown = "" if np.isnan(estimate) else f", estimated {estimate:.3g}"
            yield f"Ranking well is not choosing well: the first choice of {name} is {_spell(row, chance)}{shown}."
    against = board[board["correlation_high"] < 0].sort_values("correlation", kind="stable")
    if len(against):
        yield f"Ranks against it, interval below 0: {_correlations(against)}."


def _correlations(board: pd.DataFrame) -> str:
    return ", ".join(f"{row.estimator} ({row.correlation:.2f})" for row in board.itertuples())


def _first_choice(rows: pd.DataFrame, estimator: str) -> pd.Series:
    """The row of the highest estimate; of equal ones the first by method, run and seed, as in the accuracy."""
    own = rows[(rows["estimator"] == estimator) & rows["estimate"].notna()].sort_values(["algo", "run", "seed"])
    return own.loc[own["estimate"].idxmax()]


def _spell(row: pd.Series, chance: pd.Series) -> str:
    true = row["true_" + chance["unit"]]
    return f"{row['algo']} ({true:.3g})"


def _overall(board: pd.DataFrame) -> str:
    """The estimators that beat a choice at random everywhere, by their worst share of its regret."""
    shares: dict[str, float] = {}
    chance = board[board["estimator"] == AT_RANDOM].set_index("dataset")["regret_1"]
    for name in ESTIMATES:
        own = board[board["estimator"] == name].set_index("dataset")["regret_1"]
        if len(own) == len(chance) and own.notna().all() and (chance > 0).all():
            shares[name] = float((own / chance).max())
    good = sorted((name for name, share in shares.items() if share < 1), key=lambda name: shares[name])
    if not good:
        return "**Over all data sets** no estimator chose better than chance everywhere."
    listed = ", ".join(f"{name} ({shares[name]:.0%})" for name in good)
    return f"**Over all data sets** better than chance everywhere, with the worst share of its regret: {listed}."
