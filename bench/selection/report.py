"""The tables of a selection, computed from its rows, and the folder of its results."""

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
from bench.selection.select import METRICS, Selected
from bench.selection.verdict import verdict
from envs.files import write_atomic

TITLES = {"correlation": "rank correlation", "regret_1": "regret at 1", "regret_3": "regret at 3"}
CAPTION = """Rank correlation (Spearman) of estimate and true return; regret: the best policy less the best of the 1 or 3 highest estimates,
in points of score (returns without reference scores). 95 % intervals over policies. In brackets: policies that the estimator can rate."""
FILES = {"rows.csv", "table.md", "README.md", "accuracy.csv", "calibration.svg", "calibration.png"}
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
        from bench.report.figures.writing import PLAIN, svg_of  # matplotlib is slow to import
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
    for name in FILES - files.keys():  # of an earlier selection
        (folder / name).unlink(missing_ok=True)
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
