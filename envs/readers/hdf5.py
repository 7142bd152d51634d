"""Minari's HDF5 format: data/main_data.hdf5 with a group episode_<i> per episode.

A group holds observations (T + 1 rows; one array per leaf of a dict or, named _index_<number>, of a tuple), actions, rewards, terminations
and truncations (T rows).
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import h5py
import numpy as np
from gymnasium import spaces

from envs.errors import DataError
from envs.readers.episode_files import GET_AGAIN, EpisodeFiles
from envs.readers.hdf5_arrays import DAMAGE, MAX_EXPANSION, ElsewhereError, claimed_bytes, open_array, open_file

FILE = "data/main_data.hdf5"
METADATA_CACHE = 1 << 17  # bytes


class Hdf5Files(EpisodeFiles):
    """Episodes in one HDF5 file, read through h5py's low-level interface: several times as fast for small arrays."""

    def _open(self) -> None:
        path = self.folder / FILE
        try:
            self.size = path.stat().st_size
            self.file = open_file(self.folder, FILE, _small_cache())
        except FileNotFoundError:
            raise self._damaged(FILE, "it is missing") from None
        except OSError as error:
            raise self._damaged(FILE, f"truncated, or no HDF5 file: {error}") from error

    def _close(self) -> None:
        self.file.close()

    @staticmethod
    def _part(name: str | int) -> str:
        return f"_index_{name}" if isinstance(name, int) else name

    def _lengths(self) -> np.ndarray:
        claimed = self.metadata["total_episodes"]
        try:
            self.root = h5py.h5g.open(self.file, b"/")
            found = self.root.get_num_objs()
        except DAMAGE as error:
            raise self._damaged(FILE, error) from error
        if found != claimed:
            raise self._damaged("data/metadata.json", f"it says total_episodes = {claimed}, the file has {found}")
        lengths = np.empty(found, np.int64)
        for episode in range(found):
            shape = self._array(episode, "rewards").shape
            if len(shape) != 1:
                raise DataError(f"{self.where(episode)}: rewards has shape {shape}; expected one per step")
            lengths[episode] = shape[0]
        return lengths

    def _array(self, episode: int, name: str) -> Any:
        try:
            return open_array(self.root, f"episode_{episode}/{name}")
        except ElsewhereError as error:
            raise DataError(f"{self.where(episode)}: {name} cannot be read: {error}; remove {self.folder} and {GET_AGAIN}") from error
        except DAMAGE as error:
            raise self._absent(episode, name, FILE) from error

    def attribute(self, episode: int, name: str) -> float | None:
        try:
            stored = h5py.h5a.open(h5py.h5g.open(self.root, f"episode_{episode}".encode()), name.encode())
            if stored.shape != () or stored.dtype.kind not in "iuf":
                return None
            stored.read(found := np.empty((), stored.dtype))
        except DAMAGE:  # absent, too
            return None
        return float(found) if np.isfinite(found) else None

    def _columns(self, episode: int) -> Callable[[str, spaces.Space | None], np.ndarray]:
        def column(name: str, space: spaces.Space | None) -> np.ndarray:
            source = self._array(episode, name)
            try:
                if source.dtype.kind in "OSV":
                    return np.empty(source.shape[:0], source.dtype)  # refused later, for its type
                if (size := claimed_bytes(source)) > MAX_EXPANSION * self.size:
                    raise DataError(
                        f"{self.where(episode)}: {name} claims {size:,} bytes (shape {source.shape}) in a file of {self.size:,}; "
                        f"remove {self.folder} and {GET_AGAIN}"
                    )
                array = np.empty(source.shape, source.dtype)
                if array.size:
                    source.read(h5py.h5s.ALL, h5py.h5s.ALL, array)
            except DAMAGE as error:
                raise self._damaged(FILE, f"episode {episode}, {name}: {error}") from error
            return array

        return column


def _small_cache() -> Any:
    """File access with a small metadata cache: HDF5's default keeps 32 MB, and its allocator a multiple, without being faster here."""
    access = h5py.h5p.create(h5py.h5p.FILE_ACCESS)
    config = access.get_mdc_config()
    config.set_initial_size, config.initial_size, config.min_size, config.max_size = True, METADATA_CACHE, METADATA_CACHE, METADATA_CACHE
    access.set_mdc_config(config)
    return access
