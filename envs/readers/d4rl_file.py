"""The arrays of a D4RL file, read in pieces: a file may be larger than memory.

In memory are a piece of each array (PIECE bytes, or an episode if that is longer) and 8 bytes per end of an episode.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import h5py
import numpy as np

from envs.errors import DataError, first_line
from envs.readers.hdf5_arrays import DAMAGE, MAX_EXPANSION, ElsewhereError, claimed_bytes, open_array, open_file

PIECE = 1 << 20  # bytes of an array read at once
REQUIRED = ("observations", "actions", "rewards", "terminals")


class Column:
    """Array `name` of an open file. `column[start:stop]` are its rows; rewards and flags of shape [N, 1] become [N]."""

    def __init__(self, path: Path, file: Any, name: str) -> None:
        try:
            array = open_array(file.id, name)
        except ElsewhereError as error:
            raise DataError(f"{path}: {name} cannot be read: {error}; get the file again") from error
        except DAMAGE as error:
            raise DataError(f"{path}: {name} is no array ({first_line(error)}); get the file again") from error
        source, size = h5py.Dataset(array), claimed_bytes(array)
        if source.dtype.kind not in "fiub":
            raise DataError(f"{path}: {name} has type {source.dtype}; expected numbers")
        if size > MAX_EXPANSION * path.stat().st_size:
            raise DataError(
                f"{path}: {name} claims {size:,} bytes (shape {source.shape}) in a file of {path.stat().st_size:,}; get it again"
            )
        self.path, self.name, self.source, self.dtype = path, name, source, source.dtype
        narrow = name in ("rewards", "terminals", "timeouts") and source.ndim == 2 and source.shape[1] == 1
        self.shape = source.shape[:1] if narrow else source.shape
        # Whole compressed blocks: each is decompressed once, not for every episode that it has a part of.
        rows = max(PIECE * self.shape[0] // max(source.nbytes, 1), 1) if self.shape else 1
        block = source.chunks[0] if source.chunks else 1
        self.rows = -(-rows // block) * block
        self.start, self.piece = 0, np.empty((0, *self.shape[1:]), self.dtype)

    def __len__(self) -> int:
        return self.shape[0]

    def __getitem__(self, rows: slice) -> np.ndarray:
        """Rows start .. stop - 1, from memory if the last piece has them. Raises DataError if the file is damaged."""
        start, stop, _ = rows.indices(len(self))
        if start < self.start or stop > self.start + len(self.piece):
            self.start = start // self.rows * self.rows
            self.piece = self._read(self.start, -(-stop // self.rows) * self.rows)
        return self.piece[start - self.start : stop - self.start]

    def _read(self, start: int, stop: int) -> np.ndarray:
        self.piece = self.piece[:0].copy()  # frees the last piece first
        try:
            piece = self.source[start:stop]
        except DAMAGE as error:
            reason = first_line(error)
            raise DataError(f"{self.path}: {self.name} cannot be read from row {start} on ({reason}); get the file again") from error
        return piece.reshape(len(piece), *self.shape[1:])

    def pieces(self) -> Iterator[tuple[int, np.ndarray]]:
        """All rows, in pieces: (number of the first row, piece)."""
        for start in range(0, len(self), self.rows):
            yield start, self[start : start + self.rows]


@dataclass(frozen=True)
class Flat:
    """A file's columns: observations and next_observations [N, obs], actions [N, act], rewards [N], flags [N]; ends [E].

    timeouts and next_observations may be None. ends: steps at which a flag is set, rising.
    """

    file: str
    observations: Column
    actions: Column
    rewards: Column
    terminals: Column
    timeouts: Column | None
    next_observations: Column | None
    ends: np.ndarray

    def flags(self, start: int, stop: int) -> tuple[np.ndarray, np.ndarray]:
        """Flags (terminated, truncated) of steps start .. stop - 1, [stop - start] bool each."""
        timeouts = np.zeros(stop - start, bool) if self.timeouts is None else self.timeouts[start:stop].astype(bool)
        return self.terminals[start:stop].astype(bool), timeouts

    def episodes(self, trailing: str = "drop", breaks: str = "refuse") -> tuple[np.ndarray, np.ndarray]:
        """Rows (starts, stops): episode e has starts[e] .. stops[e] - 1. Raises DataError if no episode ends, or for a missing end."""
        ends, steps = self.ends, len(self.observations)
        if not len(ends):
            raise DataError(f"{self.file}: no terminal and no timeout is set, so no episode ends; expected at least one")
        if self.next_observations is not None:
            ends = np.union1d(ends, self._broken(breaks))
        stops = ends + 1
        if stops[-1] < steps and trailing == "keep":
            stops = np.append(stops, steps)
        return np.concatenate([[0], stops[:-1]]), stops

    def _broken(self, breaks: str) -> np.ndarray:
        """Steps within an episode whose next observation is not the following observation."""
        assert self.next_observations is not None
        found = []
        for start, after in self.next_observations.pieces():
            next_rows = self.observations[start + 1 : start + 1 + len(after)]
            same = np.isclose(after[: len(next_rows)], next_rows, rtol=1e-5, atol=1e-6).all(1)
            found.append(start + np.flatnonzero(~same))
        broken = np.setdiff1d(np.concatenate(found), self.ends)
        if len(broken) and breaks == "refuse":
            step = int(broken[0])
            raise DataError(
                f"{self.file}: step {step} has no flag, but its next_observations are not the observations of step {step + 1} "
                f"({len(broken)} such steps): an episode's end is missing; --breaks cut ends a (truncated) episode there"
            )
        return broken


@contextmanager
def opened(path: Path) -> Iterator[Flat]:
    """Open D4RL file `path` and check all of it. Raises DataError naming file, array, episode and step."""
    real = path.resolve()  # the user names the file, so it may be a link
    with ExitStack() as stack:
        try:
            flat = _checked(path, stack.enter_context(h5py.File(open_file(real.parent, real.name))))
        except DAMAGE as error:
            reason = "it is missing" if not path.exists() else f"truncated, or no HDF5 file: {first_line(error)}"
            raise DataError(f"{path} cannot be read ({reason}); get the file again") from error
        yield flat


def check(path: Path) -> None:
    """Raise DataError if D4RL file `path` cannot be used."""
    with opened(path):
        pass


def _checked(path: Path, file: Any) -> Flat:
    found = {name: Column(path, file, name) for name in (*REQUIRED, "timeouts", "next_observations") if file.id.links.exists(name.encode())}
    for name in REQUIRED:
        if name not in found:
            raise DataError(f"{path}: no array '{name}'; it has {', '.join(sorted(file)) or 'nothing'}; expected {', '.join(REQUIRED)}")
    if not found["observations"].shape or not (steps := len(found["observations"])):
        raise DataError(f"{path}: observations has no row; get the file again")
    for name, column in found.items():
        rank = 2 if name in ("observations", "actions", "next_observations") else 1
        if len(column.shape) != rank or len(column) != steps:
            raise DataError(f"{path}: {name} has shape {column.shape}; expected {steps} rows of rank {rank}, as many as observations")
    after = found.get("next_observations")
    if after is not None and after.shape != found["observations"].shape:
        raise DataError(f"{path}: next_observations has shape {after.shape}; expected that of observations")
    ends = np.unique(np.concatenate([_set(found[name]) for name in ("terminals", "timeouts") if name in found]))
    observations, actions, rewards, terminals = (found[name] for name in REQUIRED)
    flat = Flat(str(path), observations, actions, rewards, terminals, found.get("timeouts"), after, ends)
    for name in ("observations", "actions", "rewards", "next_observations"):
        if name in found:
            _check_finite(flat, found[name])
    return flat


def _set(flags: Column) -> np.ndarray:
    """Steps at which a flag is set. Raises DataError for values other than 0 and 1."""
    found = []
    for start, piece in flags.pieces():
        wrong = ~np.isin(piece, (0, 1))
        if wrong.any():
            at = int(wrong.argmax())
            raise DataError(f"{flags.path}: {flags.name} is {piece[at]} at step {start + at}; expected flags, 0 or 1")
        found.append(start + np.flatnonzero(piece))
    return np.concatenate(found)


def _check_finite(flat: Flat, column: Column) -> None:
    for start, piece in column.pieces():
        finite = np.isfinite(piece).reshape(len(piece), -1).all(1)
        if not finite.all():
            row = start + int((~finite).argmax())
            episode = int(np.searchsorted(flat.ends, row))
            step = row - (int(flat.ends[episode - 1]) + 1 if episode else 0)
            raise DataError(f"{flat.file}: episode {episode}, step {step} (row {row}): {column.name} is not finite; get the file again")
