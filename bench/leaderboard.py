"""Tables from raw runs: `python -m bench.leaderboard results/quick` writes scores.csv, leaderboard.csv, table.md, table.tex and table.csv,
and prints table.md. `merge A.csv B.csv` joins leaderboards; `verify RUN_DIR` evaluates a checkpoint again (bench.verify).

A seed's value under each selection rule:
last          mean over the final episodes of the last iterate
best          the best evaluation on the way (its first `eval_episodes` episodes): flatters whoever is evaluated often
mean_last_k   mean over the last k evaluations
"""

from __future__ import annotations

import argparse
import contextlib
import json
import sys
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pandas as pd
from scipy.stats import trim_mean

from bench.board import COLUMNS, SCHEMA, board_csv, merge, read_board
from bench.errors import USER_ERRORS, RunError
from bench.export import latex, lines, long_csv
from bench.files import remove_scratch, write_atomic
from bench.grid import grids
from bench.locks import Lock
from bench.raw import counted, failed, read_episodes, reference_of, selections
from bench.rundir import Row
from bench.statistics import summarise
from bench.table import markdown

SCORE_COLUMNS = ["suite", "dataset", "algo", "seed", "update", "episode", "return", "score", "length"]


def finished_runs(suite: Path) -> Iterator[tuple[Row, pd.DataFrame]]:
    """(run.json, episodes) of every finished run below `suite`, in a stable order. Raises RunError for a damaged one."""
    for path in sorted(suite.glob("runs/*/run.json")):
        try:
            record = json.loads(path.read_text())
            if record["status"] == "finished":
                episodes = read_episodes(path.parent, record)
                yield record | {"folder": str(path.parent), "failed_episodes": int(failed(episodes).sum())}, episodes
        except (OSError, ValueError, KeyError, RunError) as error:
            if not _still_finished(path):
                continue  # another process began to do it again while it was read
            if isinstance(error, RunError):
                raise
            raise RunError(f"{path.parent} cannot be read ({error}); remove it and run again") from error


def _still_finished(path: Path) -> bool:
    try:
        return bool(json.loads(path.read_text())["status"] == "finished")
    except FileNotFoundError:
        return False
    except (OSError, ValueError, KeyError):
        return True  # damaged: that is to be said


def tables_lock(suite: Path) -> Lock:
    """Whoever has it may write what is computed from the runs of folder `suite`."""
    return Lock(suite / ".locks" / "tables.lock")


def suite_runs(suite: Path) -> list[tuple[Row, pd.DataFrame]]:
    """`finished_runs`. Raises RunError if there is none."""
    runs = list(finished_runs(suite))
    if not runs:
        raise RunError(f"{suite}: no finished run in it; expected {suite}/runs/*/run.json")
    return runs


def scores(record: Row, episodes: pd.DataFrame) -> pd.DataFrame:
    """One row an episode; score is empty where the data set has no reference."""
    reference, rows = reference_of(record), episodes.copy()
    rows["score"] = np.nan if reference is None else reference.score(counted(record, rows)["return"].to_numpy())
    for name in ("suite", "dataset", "algo"):
        rows[name] = record[name]
    return rows[SCORE_COLUMNS]


def rows_of(record: Row, episodes: pd.DataFrame) -> Iterator[Row]:
    """The leaderboard's rows of one run, one a selection rule."""
    reference = reference_of(record)
    for selection, values in selections(record, episodes).items():
        returns = values.to_numpy()
        raw = summarise(returns)
        scored = np.full(len(returns), np.nan) if reference is None else reference.score(returns)
        score = summarise(scored)
        yield {
            **{name: record[name] for name in COLUMNS if name in record},
            "selection": selection,
            "reference": "none" if reference is None else reference.name,
            "seeds": " ".join(map(str, values.index)),
            "eval_episodes": record["final_episodes"] if selection == "last" else record["eval_episodes"],
            "score_mean": score.mean, "score_std": score.std, "score_ci_low": score.low, "score_ci_high": score.high,
            "return_mean": raw.mean, "return_std": raw.std,
            "score_iqm": float(trim_mean(scored, 0.25)), "configs_tried": 1, "source": "ours", "citation": "", "schema": SCHEMA,
        }  # fmt: skip


def board_of(suite: Path, runs: list[tuple[Row, pd.DataFrame]]) -> pd.DataFrame:
    """The leaderboard of `runs`, sorted, with the number of configurations tried in the whole of folder `suite`."""
    board = pd.DataFrame([row for record, episodes in runs for row in rows_of(record, episodes)], columns=COLUMNS)
    tried = Counter(_started(suite))
    board["configs_tried"] = [max(1, tried[row.dataset, row.algo]) for row in board.itertuples()]
    return board.sort_values(["dataset", "algo", "selection", "config_hash"], kind="stable", ignore_index=True)


def _started(suite: Path) -> Iterator[tuple[str, str]]:
    """(data set, method) of every run below `suite`, finished or not."""
    for path in sorted(suite.glob("runs/*/run.json")):
        with contextlib.suppress(ValueError, KeyError):
            record = json.loads(path.read_text())
            yield record["dataset"], record["algo"]


def rebuild(suite: Path) -> str:
    """Write the tables of folder `suite` from its runs and return the one to read. Raises RunError if there is no finished run.

    One process at a time reads and writes, so that tables belong together and the last to come leaves those of all runs.
    """
    with tables_lock(suite).held():
        return _rebuild_tables(suite)


def _rebuild_tables(suite: Path) -> str:
    remove_scratch(suite)
    runs = suite_runs(suite)
    board = board_of(suite, runs)
    table = markdown(board, [record for record, _ in runs])
    write_atomic(
        suite / "scores.csv", pd.concat([scores(*run) for run in runs]).to_csv(index=False, float_format="%.6g", lineterminator="\n")
    )
    write_atomic(suite / "leaderboard.csv", board_csv(board))
    write_atomic(suite / "table.md", table)
    parts = [(grid, list(lines(grid))) for grid in grids(runs)]
    write_atomic(suite / "table.tex", latex(parts))
    write_atomic(suite / "table.csv", long_csv(parts))
    return table


def main() -> None:
    arguments = sys.argv[1:]
    try:
        if arguments[:1] == ["merge"]:
            _merge(arguments[1:])
        elif arguments[:1] == ["verify"]:
            _verify(arguments[1:])
        else:
            _rebuild(arguments)
    except (*USER_ERRORS, OSError) as error:
        print(f"error: {error}", file=sys.stderr)
        sys.exit(2)


def _rebuild(arguments: list[str]) -> None:
    parser = argparse.ArgumentParser(
        description="Rebuild a suite's tables from its runs.", epilog="Also: merge A.csv B.csv ..., verify RUN_DIR (each with --help)."
    )
    parser.add_argument("folder", type=Path, help="such as results/quick")
    print(rebuild(parser.parse_args(arguments).folder), end="")


def _merge(arguments: list[str]) -> None:
    parser = argparse.ArgumentParser(prog="python -m bench.leaderboard merge", description="Join leaderboards into one, equal rows once.")
    parser.add_argument("boards", nargs="+", type=Path, metavar="A.csv")
    parser.add_argument("--out", type=Path, help="where to write it; to standard output unless told")
    parser.add_argument("--mixed", action="store_true", help="join rows of different reference families and protocols all the same")
    given = parser.parse_args(arguments)
    merged = board_csv(merge([(path, read_board(path)) for path in given.boards], given.mixed))
    if given.out is None:
        print(merged, end="")
    else:
        write_atomic(given.out, merged)


def _verify(arguments: list[str]) -> None:
    parser = argparse.ArgumentParser(
        prog="python -m bench.leaderboard verify", description="Evaluate a run's checkpoint again and say whether its row reproduces."
    )
    parser.add_argument("run", type=Path, metavar="RUN_DIR", help="config.yaml and checkpoint.safetensors, with run.json and episodes.csv")
    parser.add_argument("--workers", type=int, help="processes that step environments; all cores unless told")
    given = parser.parse_args(arguments)
    from bench.verify import verify  # loads torch, which tables do not need

    verdict = verify(given.run, given.workers)
    print(verdict.words)
    sys.exit(0 if verdict.reproduces else 1)


if __name__ == "__main__":
    main()
