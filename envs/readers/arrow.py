"""Minari's Arrow and Parquet formats: a folder data/<i> per episode with T + 1 rows of every column.

The last row is padding in all columns but observations.

Minari 0.5 writes an episode of more than ORDERED rows in parts, by several threads, in any order. Such an episode is refused unless its
order shows: the padding is last, no part before the last is a short one, and each part begins with a step from the end of the part before
that is as small as the steps within parts, and smaller than to the beginning of any other part.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from gymnasium import spaces

from envs.data.spaces import row_shape
from envs.errors import DataError
from envs.readers.episode_files import EpisodeFiles
from envs.untrusted import read_json

ORDERED = 131_072  # rows of an episode that are written in one part, and so in order: the size of pyarrow's batches


class ArrowFiles(EpisodeFiles):
    """Episodes in Arrow's IPC format or in Parquet, memory-mapped."""

    def _open(self) -> None:
        self.format = self.metadata["data_format"]

    def _lengths(self) -> np.ndarray:
        data = self.folder / "data"
        found = sorted(int(p.name) for p in data.iterdir() if p.is_dir() and p.name.isdigit())
        claimed = self.metadata["total_episodes"]
        if len(found) != claimed or (found and found[-1] != claimed - 1):
            raise self._damaged("data/metadata.json", f"it says total_episodes = {claimed}, there are {len(found)} folders")
        return np.array([self._steps(data / str(episode), episode) for episode in found], np.int64)

    def _steps(self, folder: Path, episode: int) -> int:
        name = f"data/{episode}/metadata.json"
        try:
            steps = read_json(folder, "metadata.json")["total_steps"]
        except (OSError, DataError, KeyError, TypeError) as error:
            raise self._damaged(name, f"{type(error).__name__}: {error}") from error
        if not isinstance(steps, int) or steps < 0:
            raise self._damaged(name, f"total_steps is {steps!r}")
        return steps

    def _columns(self, episode: int) -> Callable[[str, spaces.Space | None], np.ndarray]:
        import pyarrow
        import pyarrow.dataset

        folder = self.folder / "data" / str(episode)
        try:
            ignored = ["_", ".", "metadata.json"]
            parts = pyarrow.dataset.dataset(str(folder), format=self.format, ignore_prefixes=ignored)
            table = parts.to_table()
            batches = [batch.num_rows for batch in table.to_batches() if batch.num_rows]
            starts = np.cumsum([0, *batches[:-1]])
            table = table.combine_chunks()
        except (pyarrow.ArrowException, OSError, ValueError, MemoryError) as error:
            raise self._damaged(f"data/{episode}", f"truncated, or no {self.format} file: {error}") from error
        steps = int(self.lengths[episode])
        if table.num_rows != steps + 1:
            raise DataError(f"{self.where(episode)}: has {table.num_rows} rows of observations; expected {steps + 1} for {steps} steps")

        def column(name: str, space: spaces.Space | None) -> np.ndarray:
            first, *path = name.split("/")
            try:
                array = table.column(first).combine_chunks()
                for part in path:
                    array = array.field(part)
            except KeyError:
                raise self._absent(episode, name, f"data/{episode}") from None
            found = _to_numpy(array)[: steps + (first == "observations")]
            shape = () if space is None else row_shape(space)
            fits = found.ndim == 2 and found.shape[1] == np.prod(shape, dtype=int)  # Arrow stores higher ranks flat
            return found.reshape(len(found), *shape) if fits and len(shape) > 1 else found

        if len(starts) > 1 and (table.num_rows > ORDERED or len(parts.files) > 1):
            self._check_order(episode, column, starts, table)
        return column

    def _check_order(self, episode: int, column: Callable[[str, spaces.Space | None], np.ndarray], starts: np.ndarray, table: Any) -> None:
        """Raise DataError unless the parts of a long episode, which begin at rows `starts` (the first is 0), are in order."""
        padding = [table.column(name)[-1].as_py() for name in ("rewards", "terminations", "truncations") if name in table.column_names]
        sizes = np.diff([*starts, table.num_rows])
        if any(padding) or sizes[:-1].min() < sizes.max() or not self._continuous(episode, column, starts):
            what = f"its {table.num_rows:,} rows are in parts whose order is wrong or cannot be told, as Minari writes long episodes"
            raise DataError(f"{self.where(episode)}: {what}; write it again in HDF5 format, or as shorter episodes")

    def _continuous(self, episode: int, column: Callable[[str, spaces.Space | None], np.ndarray], starts: np.ndarray) -> bool:
        """True if the observations go on from part to part as they do within parts."""
        observations = self._observations(episode, column)
        observations /= np.maximum(observations.std(0), np.finfo(np.float32).tiny)
        steps = np.square(np.diff(observations, axis=0)).sum(1)
        across = starts[1:] - 1
        to_begins = np.square(observations[across][:, None] - observations[starts]).sum(-1)
        nearest = to_begins[np.arange(len(across)), np.arange(1, len(starts))] <= to_begins.min(1)
        return bool(nearest.all() and steps[across].max() <= np.delete(steps, across).max())


def _to_numpy(array: Any) -> np.ndarray:
    """An Arrow array of values, or of lists of one length, as rows; other arrays keep a type that is refused."""
    import pyarrow

    kind = array.type
    if pyarrow.types.is_fixed_size_list(kind):
        return array.flatten().to_numpy(zero_copy_only=False).reshape(len(array), kind.list_size)
    return array.to_numpy(zero_copy_only=False)
