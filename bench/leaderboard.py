"""Tables from raw runs: `python -m bench.leaderboard results/quick` writes scores.csv, leaderboard.csv and table.md, and prints the table.

A seed's value under each selection rule:
last          mean over the final episodes of the last iterate
best          the best evaluation on the way (its first `eval_episodes` episodes): flatters whoever is evaluated often
mean_last_k   mean over the last k evaluations
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pandas as pd

from bench.errors import USER_ERRORS, RunError
from bench.files import write_atomic
from bench.rundir import Row
from bench.statistics import summarise
from bench.table import markdown
from envs.references import Reference

SCORE_COLUMNS = ["suite", "dataset", "algo", "seed", "update", "episode", "return", "score", "length"]
COLUMNS = [
    "suite", "dataset", "algo", "selection", "reference", "seeds", "eval_episodes", "updates",
    "score_mean", "score_std", "score_ci_low", "score_ci_high", "return_mean", "return_std",
    "config_hash", "dataset_digest", "code_revision", "device", "wall_time_s",
]  # fmt: skip


def finished_runs(suite: Path) -> Iterator[tuple[Row, pd.DataFrame]]:
    """(run.json, episodes) of every finished run below `suite`, in a stable order. Raises RunError for a damaged one."""
    for path in sorted(suite.glob("runs/*/run.json")):
        try:
            record = json.loads(path.read_text())
            if record["status"] == "finished":
                yield record, pd.read_csv(path.parent / "episodes.csv")
        except (OSError, ValueError, KeyError) as error:
            raise RunError(f"{path.parent} cannot be read ({error}); remove it and run again") from error


def _reference(record: Row) -> Reference | None:
    return None if record["reference"] is None else Reference(**record["reference"])


def scores(record: Row, episodes: pd.DataFrame) -> pd.DataFrame:
    """One row an episode; score is empty where the data set has no reference."""
    reference, rows = _reference(record), episodes.copy()
    rows["score"] = np.nan if reference is None else reference.score(rows["return"].to_numpy())
    for name in ("suite", "dataset", "algo"):
        rows[name] = record[name]
    return rows[SCORE_COLUMNS]


def selections(record: Row, episodes: pd.DataFrame) -> dict[str, pd.Series]:
    """Each seed's return under each selection rule."""
    last = episodes[episodes["update"] == record["updates"]].groupby("seed")["return"].mean()
    few = episodes[episodes["episode"] < record["eval_episodes"]]
    curve = few.groupby(["seed", "update"])["return"].mean().unstack("update")
    k = min(record["last_k"], curve.shape[1])
    return {"last": last, "best": curve.max(axis=1), f"mean_last_{k}": curve.iloc[:, -k:].mean(axis=1)}


def rows_of(record: Row, episodes: pd.DataFrame) -> Iterator[Row]:
    """The leaderboard's rows of one run, one a selection rule."""
    reference = _reference(record)
    for selection, values in selections(record, episodes).items():
        returns = values.to_numpy()
        raw = summarise(returns)
        score = summarise(np.full(len(returns), np.nan) if reference is None else reference.score(returns))
        yield {
            **{name: record[name] for name in COLUMNS if name in record},
            "selection": selection,
            "reference": "none" if reference is None else reference.name,
            "seeds": " ".join(map(str, record["seeds"])),
            "eval_episodes": record["final_episodes"] if selection == "last" else record["eval_episodes"],
            "score_mean": score.mean, "score_std": score.std, "score_ci_low": score.low, "score_ci_high": score.high,
            "return_mean": raw.mean, "return_std": raw.std,
        }  # fmt: skip


def rebuild(suite: Path) -> str:
    """Write the three files of folder `suite` from its runs and return the table. Raises RunError if there is no finished run."""
    runs = list(finished_runs(suite))
    if not runs:
        raise RunError(f"{suite}: no finished run in it; expected {suite}/runs/*/run.json")
    board = pd.DataFrame([row for record, episodes in runs for row in rows_of(record, episodes)], columns=COLUMNS)
    board = board.sort_values(["dataset", "algo", "selection", "config_hash"], kind="stable", ignore_index=True)
    table = markdown(board, [record for record, _ in runs])
    write_atomic(
        suite / "scores.csv", pd.concat([scores(*run) for run in runs]).to_csv(index=False, float_format="%.6g", lineterminator="\n")
    )
    write_atomic(suite / "leaderboard.csv", board.to_csv(index=False, float_format="%.6g", lineterminator="\n"))
    write_atomic(suite / "table.md", table)
    return table


def main() -> None:
    parser = argparse.ArgumentParser(description="Rebuild scores.csv, leaderboard.csv and table.md from a suite's runs.")
    parser.add_argument("folder", type=Path, help="such as results/quick")
    try:
        print(rebuild(parser.parse_args().folder), end="")
    except (*USER_ERRORS, OSError) as error:
        print(f"error: {error}", file=sys.stderr)
        sys.exit(2)


if __name__ == "__main__":
    main()
