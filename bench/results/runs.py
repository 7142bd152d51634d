"""Finished runs, of any origin: `open_run` is the one function that opens one, and checks all that it reads."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

import pandas as pd

from bench.config.redact import redact
from bench.config.saved import read_config
from bench.errors import USER_ERRORS, RunError
from bench.results.csv_files import read_numbers
from bench.results.derive import derive, refuse_damage
from bench.results.episodes import failed, read_episodes
from bench.results.known import Known, Parsed, states_of
from bench.storage.layout import Row, folder_prefix
from bench.storage.locks import Lock
from bench.storage.record import read_record, read_status
from envs.untrusted import clean

Run = tuple[Row, pd.DataFrame]
"""A finished run: its record and its evaluation episodes.

The record is run.json, derived again where it can be (bench.results.derive), with `folder`, `config` (config.yaml) and `failed_episodes`.
"""
Runs = Sequence[Run]


class LeftOut(NamedTuple):
    """A run that cannot be read, and the reason in one line."""

    folder: Path
    reason: str


class SuiteRuns(NamedTuple):
    """The finished runs of a suite in the order of their names, and those that cannot be read."""

    runs: list[Run]
    left_out: list[LeftOut]


def open_run(folder: Path, whole: bool = True) -> Run:
    """The finished run in `folder`, checked (`bench.storage.record`, `bench.config.saved`, `bench.results.csv_files`) and derived again
    where it can be (`bench.results.derive`). `whole` refuses a run of which a file differs from its manifest.

    Nothing outside `folder` is read, no value is resolved, and texts are cleaned of what cannot be printed. Raises RunError in one line.
    """
    return _run(folder, parse_run(folder, whole))


def parse_run(folder: Path, whole: bool = True) -> Parsed:
    """The contents of the finished run in `folder`, each file checked on its own, and the hashes of its configuration."""
    from bench.storage.hashes import hashes_again  # loads torch

    record, config = read_record(folder), read_config(folder)
    if whole:
        refuse_damage(folder, record)
    hashes = hashes_again(config, record)
    episodes = read_episodes(folder, derive(folder, config, record, hashes))
    return Parsed(record, config, hashes, episodes)


def _run(folder: Path, parsed: Parsed) -> Run:
    """The run that `parsed` describes."""
    record, episodes = derive(folder, parsed.config, parsed.record, parsed.hashes), parsed.episodes
    return record | {"folder": str(folder), "config": parsed.config, "failed_episodes": int(failed(episodes).sum())}, episodes


def read_suite(suite: Path, remember: bool = False) -> SuiteRuns:
    """Every finished run of folder `suite`. Raises RunError if there is none: with the first one's reason, if some cannot be read.

    remember: write what was read for the next time (`bench.results.known`).
    """
    runs: list[Run] = []
    known = Known(suite)
    left_out: list[LeftOut] = []
    for folder in sorted(path.parent for path in suite.glob("runs/*/run.json")):
        try:
            if folder.is_symlink():
                raise RunError(f"{folder}: is a link; expected a folder in its place")
            states = states_of(folder)
            parsed = known.find(folder, states)
            if parsed is None and read_status(folder)["status"] == "finished":
                parsed = parse_run(folder)
                known.add(folder, states, parsed)
            if parsed is not None:
                runs.append(_run(folder, parsed))
        except USER_ERRORS as error:
            if not _restarted(folder):
                left_out.append(LeftOut(folder, clean(redact(str(error)))))
    if remember:
        known.save()
    copies = _copies(runs)
    left_out += copies
    if not runs:
        raise RunError(left_out[0].reason) if left_out else no_runs(suite)
    names = {left.folder for left in copies}
    return SuiteRuns([run for run in runs if Path(run[0]["folder"]) not in names], sorted(left_out))


def suite_runs(suite: Path) -> list[Run]:
    """Every finished run of folder `suite`; a line on standard error names each that cannot be read. Raises RunError if there is none."""
    found = read_suite(suite)
    report_left_out(found.left_out)
    return found.runs


def report_left_out(left_out: Sequence[LeftOut]) -> None:
    """Print a line for each run that cannot be read."""
    for left in left_out:
        print(f"left out: {left.reason}", file=sys.stderr, flush=True)


def _copies(runs: Runs) -> list[LeftOut]:
    """The runs that have data set, method and hash of another one: of several, the one in the folder that training made is kept."""
    groups: dict[tuple[str, ...], list[Run]] = {}
    for run in runs:
        groups.setdefault(tuple(run[0][key] for key in ("dataset", "algo", "config_hash")), []).append(run)
    found = []
    for group in groups.values():
        kept, *others = sorted(group, key=lambda run: not _in_own_folder(run[0]))
        name = Path(kept[0]["folder"]).name
        for record, _ in others:
            fault = f"is a copy of {name}" if record["config"] == kept[0]["config"] else f"is another run with the hash of {name}"
            found.append(LeftOut(Path(record["folder"]), f"{record['folder']}: {fault}; remove one of them"))
    return found


def _in_own_folder(record: Row) -> bool:
    """True if the folder of a run has the name that training gives it."""
    dataset = str(record["config"].get("dataset"))
    return Path(record["folder"]).name == folder_prefix(dataset, record["algo"]) + record["config_hash"]


def no_runs(suite: Path) -> RunError:
    """The mistake of a folder without a finished run."""
    return RunError(f"{suite}: no finished run in it; expected {suite}/runs/*/run.json")


def runs_at(path: Path) -> list[Run]:
    """The runs of a suite, or the one of a run directory. Raises RunError if `path` is neither, or if the run is unfinished or damaged."""
    if not (path / "run.json").is_file():
        if not (path / "runs").is_dir():
            raise RunError(f"{path}: neither a run directory (run.json) nor a suite (runs/); expected something like results/quick")
        return suite_runs(path)
    return [open_run(path)]


def _restarted(folder: Path) -> bool:
    """True if another process has started the run anew since it was listed; a damaged run.json does not count as that."""
    try:
        return bool(read_status(folder)["status"] != "finished")
    except RunError:
        return not (folder / "run.json").exists()


def read_curve(folder: Path) -> pd.DataFrame:
    """curve.csv of the run in `folder`: update, seed and metrics. Raises RunError."""
    return read_numbers(folder, "curve.csv", ("update", "seed"), optional=None)


def tables_lock(suite: Path) -> Lock:
    """The lock that a process holds while it writes tables, figures or the page of folder `suite`."""
    return Lock(suite / ".locks" / "tables.lock")
