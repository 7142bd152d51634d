"""A cache of the runs of a suite as they were last read: a run whose files are unchanged is not parsed, hashed or compared again.

A file is known by device, inode, time of change and size. Nobody can set inode and time of change, so a folder that came from elsewhere is
read anew, whatever it brings along; so is a file that changed less than AGE seconds before it was read, because clocks of file systems are
coarse. A cache whose content does not match its digest is ignored. What comes out is equal to what reading gives.
"""

from __future__ import annotations

import hashlib
import json
import os
import stat
import time
from collections.abc import Mapping
from contextlib import suppress
from fnmatch import fnmatchcase
from functools import cache
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pandas as pd
from safetensors import SafetensorError, safe_open
from safetensors.numpy import save

from bench.errors import DataError
from bench.results.episodes import KEYS
from bench.storage import manifest
from bench.storage.layout import SAMPLED, SUCCESS, Row
from envs.files import write_atomic
from envs.untrusted import check_file

NAME = ".cache/runs.safetensors"  # in the folder of a suite
BYTES = 1 << 32
AGE = 2.0
COLUMNS = {**dict.fromkeys((*KEYS, "length", SAMPLED), np.int64), "return": np.float64, SUCCESS: np.float64}

States = dict[str, list[int]]


class Parsed(NamedTuple):
    """The contents of a finished run: run.json, config.yaml, the hashes computed of them, and the rows of episodes.csv."""

    record: Row
    config: dict[str, Any]
    hashes: Row
    episodes: pd.DataFrame


class Known:
    """The runs of folder `suite` that were read before."""

    def __init__(self, suite: Path) -> None:
        self.path = suite / NAME
        self.entries: dict[str, Row] = {}
        self.columns: dict[str, np.ndarray] = {}
        self.found: dict[str, tuple[States, Parsed]] = {}
        self.changed = False
        with suppress(OSError, DataError, SafetensorError, ValueError, KeyError, TypeError, AttributeError, RecursionError):
            check_file(suite, NAME, BYTES)
            with safe_open(self.path, "np") as file:
                metadata = file.metadata()
                about = json.loads(metadata["about"])
                if about["version"] == version():
                    columns = {name: file.get_tensor(name) for name in COLUMNS}
                    if metadata["sha256"] == _digest(columns, metadata["about"]):
                        self.entries, self.columns = about["runs"], columns

    def find(self, folder: Path, states: States) -> Parsed | None:
        """The contents of `folder` as last read, if its files have the same `states`; else None."""
        entry = self.entries.get(folder.name)
        if not isinstance(entry, dict) or entry.get("states") != states:
            self.changed = True
            return None
        start, stop, names = entry["rows"]
        episodes = pd.DataFrame({name: self.columns[name][start:stop] for name in names})
        found = Parsed(entry["record"], entry["config"], entry["hashes"], episodes if stop > start else episodes.astype(float))
        self.found[folder.name] = states, found
        return found

    def add(self, folder: Path, states: States, parsed: Parsed) -> None:
        """Keep what `folder` says. `states`: those of its files before they were read."""
        newest = max(state[2] for state in states.values())
        if time.time_ns() - newest > AGE * 1e9:
            self.found[folder.name] = states, parsed

    def save(self) -> None:
        """Write what was found and added, if it differs from what was there. A disk that is full or read only is no error."""
        if not self.changed and set(self.found) == set(self.entries):
            return
        runs: Row = {}
        parts: list[pd.DataFrame] = []
        start = 0
        for name, (states, parsed) in sorted(self.found.items()):
            rows = parsed.episodes
            stop = start + len(rows)
            about = {"states": states, "rows": [start, stop, list(rows.columns)], **parsed._asdict()}
            runs[name] = {key: value for key, value in about.items() if key != "episodes"}
            start, parts = stop, [*parts, rows]
        columns = {
            name: np.concatenate(
                [part[name].to_numpy(kind) if name in part else np.zeros(len(part)) for part in parts] or [np.zeros(0)]
            ).astype(kind)
            for name, kind in COLUMNS.items()
        }
        text = json.dumps({"version": version(), "runs": runs})
        with suppress(OSError):
            write_atomic(self.path, save(columns, {"about": text, "sha256": _digest(columns, text)}))


def _digest(columns: Mapping[str, np.ndarray], about: str) -> str:
    """The SHA-256 of all that a cache holds."""
    sha = hashlib.sha256(about.encode())
    for name in COLUMNS:
        sha.update(f"{name} {columns[name].dtype}".encode())
        sha.update(np.ascontiguousarray(columns[name]).data)
    return sha.hexdigest()


def states_of(folder: Path) -> States:
    """Device, inode, time of change in ns and size of every file of a run, by name. Raises OSError."""
    found = {}
    with os.scandir(folder) as entries:
        for entry in entries:
            if entry.name == manifest.NAME or any(fnmatchcase(entry.name, pattern) for pattern in manifest.COVERED):
                status = entry.stat(follow_symlinks=False)
                kind = stat.S_IFMT(status.st_mode)
                found[entry.name] = [status.st_dev, status.st_ino, status.st_ctime_ns, status.st_size, kind]
    return dict(sorted(found.items()))


@cache
def version() -> str:
    """A digest of the code that reads runs: another version reads them anew."""
    root = Path(__file__).parents[2]
    sources = [path for name in ("bench/config", "bench/storage", "bench/results", "algos") for path in sorted((root / name).rglob("*.py"))]
    return hashlib.sha256(b"".join([pd.__version__.encode(), *(path.read_bytes() for path in sources)])).hexdigest()
