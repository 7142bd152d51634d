"""The results of a selection in words and tables, all computed from its rows, and written to a folder."""

from __future__ import annotations

import io
import shlex
from collections.abc import Sequence
from pathlib import Path

import matplotlib
import numpy as np
import pandas as pd

from bench.config.estimates import ESTIMATES
from bench.numbers import decimals
from bench.report.render import markdown_rows
from bench.results.csv_files import to_csv
from bench.selection.select import AT_RANDOM, METRICS, Selected
from envs.files import write_atomic

TITLES = {"correlation": "rank correlation", "regret_1": "regret at 1", "regret_3": "regret at 3"}
CAPTION = """Rank correlation (Spearman) of estimate and true return; regret: the best policy less the best of the 1 or 3 highest estimates,
in points of score (returns without reference scores). 95 % intervals over policies. In brackets: policies that the estimator can rate."""
SHOWN = 3  # policies of each estimator where no true return is known
WHAT = """An estimate is computed from logged data alone. `mean action` estimates are of the policies as evaluation plays them,
`stochastic` ones of the same policies with their action noise. Methods: docs/selection.md."""


def write(selected: Selected, folder: Path, arguments: Sequence[str]) -> str:
    """Write rows.csv, table.md, README.md and, where true returns are known, accuracy.csv and calibration.svg and .png into `folder`.

    arguments: those of the command, which README.md repeats. Returns the text of table.md.
    """
    table = table_of(selected)
    files: dict[str, str | bytes] = {"rows.csv": to_csv(selected.rows), "table.md": table}
    picture = ""
    if len(selected.accuracy):
        from bench.report.figures.draw import PLAIN, svg_of  # matplotlib is slow to import
        from bench.selection.figure import calibration

        with matplotlib.rc_context(PLAIN):
            figure, png = calibration(selected), io.BytesIO()
            svg = svg_of(figure)
            figure.savefig(png, format="png", dpi=110, metadata={"Software": None})
        files |= {"accuracy.csv": to_csv(selected.accuracy), "calibration.svg": svg, "calibration.png": png.getvalue()}
        picture = "\n![](calibration.svg)\n"
    command = shlex.join(["python", "-m", "bench", "select", *arguments])
    names = ", ".join(f"`{name}`" for name in files if name.endswith(".csv"))
    head = f"# Choice of a policy without the environment\n\n`{command}`\n"
    files["README.md"] = "\n".join([head, verdict(selected), "", WHAT, "", table + picture, f"Rows: {names}.", ""])
    for name, content in files.items():
        write_atomic(folder / name, content)
    return table


def table_of(selected: Selected) -> str:
    """Accuracy of every estimator on every data set; the policies of the highest estimates where no true return is known."""
    board = selected.accuracy
    lines = [CAPTION, "", *_accuracy(board)] if len(board) else []
    unknown = [d for d, own in selected.rows.groupby("dataset", sort=False) if own[["true_return", "true_score"]].isna().all(axis=None)]
    for dataset in unknown:
        own = selected.rows[selected.rows["dataset"] == dataset]
        body = [[name, *_first(table)] for name, table in own.groupby("estimator", sort=False)]
        head = ["estimator", *(f"choice {k + 1}" for k in range(SHOWN))]
        lines += [f"Highest estimates on {dataset}, whose true returns are not known", "", *markdown_rows([head, *body]), ""]
    return "\n".join(lines)


def _accuracy(board: pd.DataFrame) -> list[str]:
    """One table of all metrics for one data set; for several, a table of data sets for each metric."""
    datasets, names = (list(dict.fromkeys(board[column])) for column in ("dataset", "estimator"))
    cells = board.set_index(["estimator", "dataset"])

    def cell(name: str, dataset: str, metric: str) -> str:
        return _cell(cells.loc[name, dataset], metric) if (name, dataset) in cells.index else ""

    forms = [ESTIMATES[name].form if name in ESTIMATES else "" for name in names]
    if len(datasets) == 1:
        head = [datasets[0], "policy", *TITLES.values()]
        body = [[name, form, *(cell(name, datasets[0], metric) for metric in METRICS)] for name, form in zip(names, forms, strict=True)]
        return [*markdown_rows([head, *body]), ""]
    lines = []
    for metric, title in TITLES.items():
        body = [[name, form, *(cell(name, d, metric) for d in datasets)] for name, form in zip(names, forms, strict=True)]
        lines += [*markdown_rows([[title, "policy", *datasets], *body]), ""]
    return lines


def _cell(row: pd.Series, metric: str) -> str:
    """A value with its interval, and the number of policies rated where it is not all."""
    value, low, high = (row[f"{metric}{end}"] for end in ("", "_low", "_high"))
    if np.isnan(value):
        return "-"
    digits = 2 if metric == "correlation" else min(2, decimals(value, low, high))
    text = f"{value:.{digits}f}" + ("" if np.isnan(low) else f" ({low:.{digits}f} to {high:.{digits}f})")
    return f"{text} [{row['rated']} of {row['policies']}]" if 0 < row["rated"] < row["policies"] else text


def _first(table: pd.DataFrame) -> list[str]:
    """The policies of the highest estimates, by method and seed."""
    best = table[table["estimate"].notna()].head(SHOWN)
    names = [f"{row.algo}, seed {row.seed}: {row.estimate:.4g}" for row in best.itertuples()]
    return [*names, *["-"] * (SHOWN - len(names))]


def verdict(selected: Selected) -> str:
    """The verdict in words: per data set, and over all of them."""
    board = selected.accuracy
    if not len(board):
        return "No true returns are known: the table names each estimator's choices, and nothing says how good they are."
    lines = [_of_dataset(dataset, own) for dataset, own in board.groupby("dataset", sort=False)]
    if len(lines) > 1:
        lines.append(_overall(board))
    return "\n\n".join(lines)


def _of_dataset(dataset: object, board: pd.DataFrame) -> str:
    own, chance = board[board["estimator"] != AT_RANDOM], board[board["estimator"] == AT_RANDOM].iloc[0]
    unit = "points of score" if chance["unit"] == "score" else "of return"
    if chance["regret_1"] == 0:
        return f"**{dataset}**, {chance['policies']} policies, all of the same true return: no choice is better than another."
    text = f"**{dataset}**, {chance['policies']} policies. A choice at random is on average {chance['regret_1']:.3g} {unit} below the best."
    rated = own[own["regret_1"].notna()]
    if not len(rated):
        return text
    best = rated[rated["regret_1"] == rated["regret_1"].min()]
    names = ", ".join(best["estimator"])
    low, high = best["regret_1_low"].min(), best["regret_1_high"].max()
    text += f" Smallest regret at 1: {best['regret_1'].iloc[0]:.3g} ({names}; 95 % {low:.3g} to {high:.3g})."
    worse = rated[rated["regret_1"] > chance["regret_1"]]
    if len(worse):
        text += f" No better than chance: {', '.join(worse['estimator'])}."
    for sign, words in ((1, "Ranks with the true return, interval above 0"), (-1, "Ranks against it, interval below 0")):
        ends = own["correlation_low"] if sign > 0 else -own["correlation_high"]
        clear = own[ends > 0].sort_values("correlation", ascending=sign < 0, kind="stable")
        if len(clear):
            text += f" {words}: {', '.join(f'{r.estimator} ({r.correlation:.2f})' for r in clear.itertuples())}."
        elif sign > 0:
            text += " No estimator's rank correlation has an interval above 0."
    partial = own[own["rated"] < own["policies"]]
    if len(partial):
        text += f" Cannot rate policies without a density: {', '.join(partial['estimator'])}."
    return text


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
