"""Results as data frames: one run, or a folder of runs."""

from __future__ import annotations

from functools import cached_property
from io import StringIO
from os import PathLike
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pandas as pd

from bench.config.saved import read_config
from bench.errors import RunError
from bench.results.episodes import reference_of, selections
from bench.results.leaderboard import board_of, scores_csv
from bench.results.merging import labelled_board
from bench.results.runs import read_curve, runs_at, suite_runs

if TYPE_CHECKING:
    from bench.api.policy import Policy


class Run:
    """A finished run: its directory, its numbers as data frames, its policies.

    Attributes:
        path: the run directory.
        record: run.json: protocol, versions, digests, device, wall time.
        episodes: one row per evaluation episode: update, seed, episode, return (raw, undiscounted), length (steps).
    """

    def __init__(self, path: Path, record: dict[str, Any], episodes: pd.DataFrame) -> None:
        self.path, self.record, self.episodes = path, record, episodes

    @cached_property
    def config(self) -> dict[str, Any]:
        """config.yaml: the resolved configuration."""
        return read_config(self.path)

    @cached_property
    def curves(self) -> pd.DataFrame:
        """One row per evaluation and seed: update, seed, return_mean, loss and the method's other metrics."""
        return read_curve(self.path)

    @property
    def scores(self) -> pd.DataFrame:
        """One row per seed: seed, return and score of the last iterate's final episodes (score is empty without reference scores)."""
        return self.select("last")

    def select(self, rule: str) -> pd.DataFrame:
        """One row per seed under selection `rule`: last, best or mean_last_k. A failed episode counts as a random policy's.

        Raises RunError for another rule.
        """
        found = {name.split("_last_")[0]: values for name, values in selections(self.record, self.episodes).items()}
        values = found.get(rule.split("_last_")[0])
        if values is None:
            raise RunError(f"selection {rule}: expected last, best or mean_last_k")
        reference = reference_of(self.record)
        score = float("nan") if reference is None else reference.score(values.to_numpy())
        return pd.DataFrame({"seed": values.index, "return": values.to_numpy(), "score": score})

    def policy(self, seed: int | None = None) -> Policy:
        """The policy of `seed`, the run's first by default (`bench.load_policy`)."""
        from bench.api.policy import load_policy  # loads torch, which tables do not need

        return load_policy(self, seed)

    def __fspath__(self) -> str:
        """The run directory: functions that take a path also take a run."""
        return str(self.path)

    def __repr__(self) -> str:
        return f"Run({str(self.path)!r}: {self.record['algo']} on {self.record['dataset']}, seeds {self.record['seeds']})"


def load_run(path: str | PathLike[str]) -> Run:
    """The finished run in directory `path`. Raises RunError if there is none, or if it is damaged."""
    path = Path(path)
    if (path / "runs").is_dir():
        raise RunError(f"{path}: a suite of runs; expected the directory of one, such as {path}/runs/NAME")
    ((record, episodes),) = runs_at(path)
    return Run(path, record, episodes)


def read_results(folder: str | PathLike[str]) -> pd.DataFrame:
    """The leaderboard of `folder`, one row per run and selection rule, with mean, interval and protocol in columns.

    It is computed from the runs in `folder`/runs where there are any. Else it is read from `folder`/leaderboard.csv and checked; its rows
    are then `submitted`, because no run shows them. The columns are those of docs/submitting.md. Raises RunError if the folder has
    neither, or damaged ones.
    """
    folder = Path(folder)
    if _has_runs(folder, "leaderboard.csv"):
        return board_of(folder, suite_runs(folder))
    return labelled_board(folder / "leaderboard.csv")


def read_episodes(folder: str | PathLike[str]) -> pd.DataFrame:
    """Every evaluation episode of the runs in `folder`: suite, dataset, algo, seed, update, episode, return, score, length.

    Computed from `folder`/runs where there are any, else read from `folder`/scores.csv. Raises RunError if the folder has neither.
    """
    folder = Path(folder)
    if _has_runs(folder, "scores.csv"):
        return pd.read_csv(StringIO(scores_csv(suite_runs(folder))))
    return pd.read_csv(folder / "scores.csv")


def _has_runs(folder: Path, table: str) -> bool:
    """True if `folder` has raw runs, False if it has `table` alone. Raises RunError if it has neither."""
    if not (folder / "runs").is_dir() and not (folder / table).is_file():
        raise RunError(f"{folder}: neither runs nor {table} in it; expected a suite's folder, such as results/quick")
    return (folder / "runs").is_dir()
