"""Minari's Arrow and Parquet formats: a folder data/<i> per episode with T + 1 rows of every column.

The last row is padding in all columns but observations.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from gymnasium import spaces

from envs.data.spaces import row_shape
from envs.errors import DataError
from envs.readers.episode_files import EpisodeFiles


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
            steps = json.loads((folder / "metadata.json").read_text())["total_steps"]
        except (OSError, ValueError, KeyError, TypeError) as error:
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
            table = pyarrow.dataset.dataset(str(folder), format=self.format, ignore_prefixes=ignored).to_table().combine_chunks()
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

        return column


def _to_numpy(array: Any) -> np.ndarray:
    """An Arrow array of values, or of lists of one length, as rows; other arrays keep a type that is refused."""
    import pyarrow

    kind = array.type
    if pyarrow.types.is_fixed_size_list(kind):
        return array.flatten().to_numpy(zero_copy_only=False).reshape(len(array), kind.list_size)
    return array.to_numpy(zero_copy_only=False)
