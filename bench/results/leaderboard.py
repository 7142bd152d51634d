"""leaderboard.csv: its columns, what is checked on read, and merging.

A row is one run under one selection rule. source: ours (recomputed from raw runs) or published (typed from a paper, with its citation).
evaluations: how many evaluations the value was chosen from (best) or averaged over: the best of more is a different number.
configs_tried: how many configurations of the method were run on the data set in the row's suite, finished or not (in all suites below a
folder where `--root` asks for it).
"""

from __future__ import annotations

import csv
import io
from collections.abc import Sequence
from pathlib import Path

import pandas as pd

from bench.errors import RunError, first_line

SCHEMA = 2  # raised when a column is added, removed or changes its meaning
COLUMNS = [
    "suite", "dataset", "algo", "selection", "reference", "seeds", "eval_episodes", "evaluations", "updates",
    "score_mean", "score_std", "std_ddof", "score_ci_low", "score_ci_high", "return_mean", "return_std",
    "config_hash", "dataset_digest", "code_revision", "device", "wall_time_s",
    "score_iqm", "configs_tried", "source", "citation", "schema",
]  # fmt: skip
TEXT = {"suite", "dataset", "algo", "selection", "reference", "seeds", "config_hash", "dataset_digest", "code_revision", "device"}
TEXT |= {"source", "citation"}
KEY = ["dataset", "algo", "selection", "config_hash", "source", "citation"]


def board_csv(board: pd.DataFrame) -> str:
    """The board as text: sorted, every number to six digits, so that two versions differ where they differ."""
    ordered = board.sort_values(["dataset", "algo", "selection", "config_hash", "citation"], kind="stable", ignore_index=True)
    return ordered[COLUMNS].to_csv(index=False, float_format="%.6g", lineterminator="\n")


def read_board(path: Path) -> pd.DataFrame:
    """The checked rows of `path`. Raises RunError naming file and line, OSError if it cannot be opened."""
    text = path.read_text()
    header = next(csv.reader(io.StringIO(text)), [])
    if "schema" not in header:
        raise RunError(f"{path}: no column 'schema', so it is older than this program; rebuild it with python -m bench tables FOLDER")
    try:
        schemas = pd.to_numeric(pd.read_csv(io.StringIO(text), usecols=["schema"])["schema"])
    except ValueError as error:
        raise RunError(f"{path}: cannot be read as a table ({first_line(error)})") from error
    if (schemas > SCHEMA).any():
        raise RunError(f"{path}: schema {schemas.max():g} is newer than this program's {SCHEMA}; update the suite")
    if (schemas != SCHEMA).any():
        raise RunError(f"{path}, line {_line(schemas != SCHEMA)}: expected schema {SCHEMA}; rebuild it with python -m bench tables FOLDER")
    if missing := [c for c in COLUMNS if c not in header]:
        raise RunError(f"{path}: no column {', '.join(missing)}; expected {','.join(COLUMNS)}")
    board = pd.read_csv(io.StringIO(text), dtype=dict.fromkeys(TEXT, str), keep_default_na=False, na_values={})
    for column in set(COLUMNS) - TEXT:
        raw = board[column].astype(str)
        board[column] = pd.to_numeric(raw.where(raw != "", "nan"), errors="coerce")
        if (bad := board[column].isna() & (raw != "") & (raw.str.lower() != "nan")).any():
            raise RunError(f"{path}, line {_line(bad)}: {column} = {raw[bad].iloc[0]}: expected a number")
    for column in ("dataset", "algo", "selection", "reference"):
        if (board[column] == "").any():
            raise RunError(f"{path}, line {_line(board[column] == '')}: {column} is empty")
    if (bad := ~board["source"].isin(["ours", "published"])).any():
        raise RunError(f"{path}, line {_line(bad)}: source = {board['source'][bad].iloc[0]}: expected ours or published")
    if (bad := (board["source"] == "published") & (board["citation"] == "")).any():
        raise RunError(f"{path}, line {_line(bad)}: a published row needs a citation")
    if (bad := board.duplicated(KEY)).any():
        row = board[bad].iloc[0]
        raise RunError(f"{path}, line {_line(bad)}: {row['algo']} on {row['dataset']} ({row['selection']}) stands there before; remove one")
    return board[COLUMNS]


def _line(bad: pd.Series) -> int:
    """The line of the first bad row in the file, the header being line 1."""
    return int(bad.to_numpy().argmax()) + 2


def merge(boards: Sequence[tuple[Path, pd.DataFrame]], mixed: bool = False) -> pd.DataFrame:
    """All rows of `boards`; equal rows once. Raises RunError for two results of one run, and for mixed protocols unless `mixed`."""
    rows = pd.concat([board for _, board in boards], ignore_index=True)
    rows = rows[~rows.astype(str).duplicated()].reset_index(drop=True)
    if (twice := rows.duplicated(KEY)).any():
        row = rows[twice].iloc[0]
        raise RunError(
            f"{row['algo']} on {row['dataset']} ({row['selection']}, {row['config_hash'] or row['citation']}) has different values in "
            f"{' and '.join(str(path) for path, _ in boards)}; rebuild both from their raw runs"
        )
    if not mixed:
        refuse_mixed(rows)
    return rows


def refuse_mixed(rows: pd.DataFrame) -> None:
    """Raise RunError if rows that a reader would compare were not measured alike."""
    families = sorted(set(rows["reference"]) - {"none"})
    if len(families) > 1:
        ours = rows[rows["source"] == "ours"]
        remedy = "leave published rows out with --source ours" if ours["reference"].nunique() < len(families) else "split them"
        raise RunError(f"reference families {' and '.join(families)} do not share a table; {remedy}, or ask for it with --mixed")
    best = rows[(rows["selection"] == "best") & (rows["source"] == "ours")]
    for dataset, own in best.groupby("dataset")["evaluations"]:
        if own.nunique() > 1:
            numbers = " and ".join(f"{n:.0f}" for n in sorted(own.unique()))
            raise RunError(
                f"{dataset}: the best of {numbers} evaluations are different numbers; keep the last iterates with --selection last, "
                f"or ask for all with --mixed"
            )
    for column in ("eval_episodes", "dataset_digest"):
        ours = rows[rows["source"] == "ours"]
        by = ["selection"] if column == "eval_episodes" else ["dataset"]
        counts = ours.groupby(by)[column].nunique()
        if (counts > 1).any():
            where = counts[counts > 1].index[0]
            values = sorted(set(ours.loc[ours[by[0]] == where, column].astype(str)))
            raise RunError(f"{where}: {column} {' and '.join(values)} are different protocols; run one of them again, or ask with --mixed")
