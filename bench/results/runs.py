"""Finished runs: each is read from its run directory and checked."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from pathlib import Path

import pandas as pd

from bench.config.saved import read_yaml
from bench.errors import RunError
from bench.results.episodes import failed, read_episodes
from bench.storage.layout import Row
from bench.storage.locks import Lock

Run = tuple[Row, pd.DataFrame]
"""A finished run: its record and its evaluation episodes.

The record is run.json with three keys added: `folder`, `config` (config.yaml, empty if it is missing) and `failed_episodes`.
"""
Runs = Sequence[Run]


def suite_runs(suite: Path) -> list[Run]:
    """Every finished run of folder `suite`. Raises RunError if there is none, or if one is damaged."""
    runs = list(finished_runs(suite))
    if not runs:
        raise no_runs(suite)
    return runs


def no_runs(suite: Path) -> RunError:
    """The mistake of a folder without a finished run."""
    return RunError(f"{suite}: no finished run in it; expected {suite}/runs/*/run.json")


def finished_runs(suite: Path) -> Iterator[Run]:
    """Every finished run of folder `suite`, in the order of their names. Raises RunError for a damaged one."""
    for path in sorted(suite.glob("runs/*/run.json")):
        try:
            record = json.loads(path.read_text())
            if record["status"] == "finished":
                yield _read(path.parent, record)
        except (OSError, ValueError, KeyError, TypeError, RunError) as error:
            if _restarted(path):
                continue
            if isinstance(error, RunError):
                raise
            raise RunError(f"{path.parent}: cannot be read ({error}); remove it and run again") from error


def runs_at(path: Path) -> list[Run]:
    """The runs of a suite, or the one of a run directory. Raises RunError if `path` is neither, or if a run is unfinished or damaged."""
    record = path / "run.json"
    if not record.is_file():
        if not (path / "runs").is_dir():
            raise RunError(f"{path}: neither a run directory (run.json) nor a suite (runs/); expected something like results/quick")
        return suite_runs(path)
    try:
        found = json.loads(record.read_text())
        if found["status"] != "finished":
            raise RunError(f"{path}: the run is not finished; give its command again to complete it")
        return [_read(path, found)]
    except (ValueError, KeyError, TypeError) as error:
        raise RunError(f"{path}: cannot be read ({error}); run it again with force=true") from error


def _read(folder: Path, record: Row) -> Run:
    episodes, path = read_episodes(folder, record), folder / "config.yaml"
    config = read_yaml(path) if path.is_file() else {}
    return record | {"folder": str(folder), "config": config, "failed_episodes": int(failed(episodes).sum())}, episodes


def _restarted(path: Path) -> bool:
    """True if another process has started the run anew since it was listed; a damaged run.json does not count as that."""
    try:
        return bool(json.loads(path.read_text())["status"] != "finished")
    except FileNotFoundError:
        return True
    except (OSError, ValueError, KeyError, TypeError):
        return False


def tables_lock(suite: Path) -> Lock:
    """The lock that a process holds while it writes tables, figures or the page of folder `suite`."""
    return Lock(suite / ".locks" / "tables.lock")
