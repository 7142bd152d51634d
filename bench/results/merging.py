"""Leaderboards joined into one. Numbers of a file are not believed: rows that its own runs do not give again are labelled as submitted."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pandas as pd

from bench.errors import RunError
from bench.results.leaderboard import COLUMNS, KEY, NOT_VERIFIABLE, TEXT, board_of, line_of, read_board
from bench.results.protocol import measured_rows, refuse_mixed
from bench.results.runs import read_suite
from bench.results.shards import refuse_revisions

NOT_COMPARED = ("source", "schema", "configs_tried", "suite")  # configs_tried depends on the suites beside it


def labelled_board(path: Path) -> pd.DataFrame:
    """The rows of `path`. Those of runs are `ours` if the runs beside the file give them again, else `submitted` and not verifiable.

    Raises RunError as `read_board`, and for a row that differs from what its run beside it gives.
    """
    board, folder = read_board(path), path.resolve().parent
    ours = board["source"] == "ours"
    if not ours.any():
        return _submitted(board, board["source"] == "submitted")
    known = board_of(folder, read_suite(folder).runs) if any(folder.glob("runs/*/run.json")) else pd.DataFrame(columns=COLUMNS)
    found = board[KEY].merge(known.assign(row=range(len(known))), how="left", on=KEY)
    present = found["row"].notna().to_numpy()
    for column in (c for c in COLUMNS if c not in (*KEY, *NOT_COMPARED)):
        if column in TEXT:
            same = board[column].to_numpy() == found[column].to_numpy()
        else:
            same = np.isclose(board[column].to_numpy(float), found[column].to_numpy(float), rtol=1e-5, atol=1e-9, equal_nan=True)
        if (bad := pd.Series(ours.to_numpy() & present & ~same)).any():
            k = int(bad.to_numpy().argmax())
            values = f"{board[column][k]}, but its run in {folder / 'runs'} gives {found[column][k]}"
            raise RunError(f"{path}, line {line_of(bad)}: {column} = {values}; rebuild it with python -m bench tables {folder}")
    return _submitted(board, (ours & ~present) | (board["source"] == "submitted"))


def _submitted(board: pd.DataFrame, rows: pd.Series) -> pd.DataFrame:
    """`board` with `rows` marked as typed numbers: no run shows that they are true."""
    board.loc[rows, ["source", "verifiable"]] = ["submitted", NOT_VERIFIABLE]
    return board


def merge(paths: Sequence[Path], mixed: bool = False, selection: str | None = None, source: str | None = None) -> pd.DataFrame:
    """The labelled rows of the leaderboards at `paths`, equal rows once, restricted to one selection rule or source if given.

    Raises RunError for two results of one run, and for several protocols, or several code revisions of one suite, unless `mixed`.
    """
    boards = {path: labelled_board(path) for path in dict.fromkeys(paths)}
    if not mixed:
        refuse_revisions({path: _revisions(board) for path, board in boards.items()})
    rows = pd.concat(list(boards.values()), ignore_index=True)
    for column, value in (("selection", selection), ("source", source)):
        if value is not None:
            rows = rows[rows[column] == value]
    rows = rows.sort_values("source", kind="stable")  # of equal rows, ours comes before a submitted one
    rows = rows[~rows.drop(columns=["source", "configs_tried", "verifiable"]).round(9).astype(str).duplicated()].reset_index(drop=True)
    names = " and ".join(map(str, paths))
    if (twice := rows.duplicated(KEY)).any():
        row = rows[twice].iloc[0]
        raise RunError(
            f"{names}: {row['algo']} on {row['dataset']} ({row['selection']}, {row['config_hash'] or row['citation']}) "
            "has different values; rebuild both from their raw runs"
        )
    if not mixed:
        remedy = "leave published rows out with --source ours, keep one rule with --selection last, or merge everything with --mixed"
        refuse_mixed(names, measured_rows(rows), remedy)
    return rows


def _revisions(board: pd.DataFrame) -> list[tuple[str, str]]:
    """Suite and code revision of the rows of `board` that a program computed."""
    own = board[board["source"] != "published"]
    return list(zip(own["suite"], own["code_revision"], strict=True))
