"""Tables from raw runs: `python -m bench tables results/quick` writes scores.csv, leaderboard.csv, table.md, table.tex and table.csv,
and prints table.md. Runs that were not measured alike share no table and are refused, unless `--mixed` asks for one each; `--published`
shows scores from papers in tables of their own. `merge A.csv B.csv` joins leaderboards;
`verify RUN_DIR` evaluates a checkpoint again (bench.replay.verify).

A seed's value under each selection rule:
last          mean over the final episodes of the last iterate
best          the best evaluation on the way (its first `eval_episodes` episodes): flatters whoever is evaluated often
mean_last_k   mean over the last k evaluations
"""

from __future__ import annotations

import contextlib
import json
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pandas as pd
from scipy.stats import trim_mean

from bench.errors import RunError
from bench.report.table import markdown
from bench.report.tables import latex, lines, long_csv
from bench.report.wanted import NOTHING, TableOptions, published_rows, refuse_mixed
from bench.results import published
from bench.results.episodes import counted, failed, read_episodes, reference_of, selections
from bench.results.grid import grids, varied
from bench.results.leaderboard import COLUMNS, SCHEMA, board_csv
from bench.results.statistics import summarise
from bench.storage.files import remove_scratch, write_atomic
from bench.storage.locks import Lock
from bench.storage.rundir import Row

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
    stops = episodes["update"].nunique()
    evaluations = {"last": 1, "best": stops, "mean": min(record["last_k"], stops)}
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
            "evaluations": evaluations[selection.split("_")[0]],
            "score_mean": score.mean, "score_std": score.std, "std_ddof": 1, "score_ci_low": score.low, "score_ci_high": score.high,
            "return_mean": raw.mean, "return_std": raw.std,
            "score_iqm": float(trim_mean(scored, 0.25)), "configs_tried": 1, "source": "ours", "citation": "", "schema": SCHEMA,
        }  # fmt: skip


def board_of(suite: Path, runs: list[tuple[Row, pd.DataFrame]], root: Path | None = None) -> pd.DataFrame:
    """The leaderboard of `runs`, sorted, with the number of configurations tried in folder `suite`, or in all suites below `root`."""
    board = pd.DataFrame([row for record, episodes in runs for row in rows_of(record, episodes)], columns=COLUMNS)
    tried = Counter((dataset, algo) for dataset, algo, _ in {*_started(suite), *(_started(root) if root else ())})
    board["configs_tried"] = [max(1, tried[row.dataset, row.algo]) for row in board.itertuples()]
    return board.sort_values(["dataset", "algo", "selection", "config_hash"], kind="stable", ignore_index=True)


def _started(folder: Path) -> Iterator[tuple[str, str, str]]:
    """(data set, method, hash of the configuration) of every run below `folder`, finished or not."""
    if not folder.is_dir():
        raise RunError(f"{folder}: no folder; expected one that holds suites, such as results")
    for path in sorted(folder.glob("**/runs/*/run.json")):
        with contextlib.suppress(ValueError, KeyError, FileNotFoundError):  # the last: another process begins it again
            record = json.loads(path.read_text())
            yield record["dataset"], record["algo"], record["config_hash"]


def rebuild(suite: Path, wanted: TableOptions = NOTHING) -> str:
    """Write the tables of folder `suite` from its runs and return the one to read. Raises RunError if there is no finished run, and for
    runs that were not measured alike unless `wanted` says otherwise.

    One process at a time reads and writes, so that tables belong together and the last to come leaves those of all runs.
    """
    with tables_lock(suite).held():
        return _rebuild_tables(suite, wanted)


def _rebuild_tables(suite: Path, wanted: TableOptions) -> str:
    remove_scratch(suite)
    runs = suite_runs(suite)
    records = [record for record, _ in runs]
    refuse_mixed(suite, records, wanted)
    board = board_of(suite, runs, wanted.root)
    others = published_rows(records, wanted)
    table = markdown(board, records) + "".join(f"\n{line}\n" for line in varied(records)) + published.markdown(others)
    write_atomic(
        suite / "scores.csv", pd.concat([scores(*run) for run in runs]).to_csv(index=False, float_format="%.6g", lineterminator="\n")
    )
    write_atomic(suite / "leaderboard.csv", board_csv(pd.DataFrame([*board.to_dict("records"), *others], columns=COLUMNS)))
    write_atomic(suite / "table.md", table)
    parts = [(grid, list(lines(grid))) for grid in grids(runs)]
    write_atomic(suite / "table.tex", latex(parts))
    write_atomic(suite / "table.csv", long_csv(parts))
    return table
