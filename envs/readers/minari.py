"""The episodes of one Minari data set, read straight from its files.

Minari's own iterator decodes every info and opens every array by name: most of the time and memory of loading. The formats are simple:
hdf5    data/main_data.hdf5, a group episode_<i> with observations (T + 1 rows, one array a leaf of a dict), actions, rewards,
        terminations and truncations (T rows)
arrow   data/<i>/*.arrow (or parquet), T + 1 rows of every column, the last row padding but for observations
Spaces, environments and versions stay Minari's business (`envs.readers.load`).
"""

from __future__ import annotations

import json
from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import h5py
import numpy as np
from gymnasium import spaces

from envs.data.spaces import flatten_rows, leaves, row_shape, width
from envs.errors import DataError, first_line

MAX_EXPANSION = 2000  # how much larger than its file an array may be: above what compression reaches, a header lies


METADATA_CACHE = 1 << 17  # bytes


class Arrays(NamedTuple):
    """One episode: observations [T + 1, obs], actions [T, act], rewards, terminations and truncations [T]."""

    observations: np.ndarray
    actions: np.ndarray
    rewards: np.ndarray
    terminations: np.ndarray
    truncations: np.ndarray


def damaged(dataset: str, folder: Path, file: str, what: object) -> DataError:
    """The error line for a file that cannot be used."""
    reason = first_line(what)
    return DataError(f"{dataset}: cannot be read ({file}: {reason}); remove {folder} and record or download it again")


def read_metadata(dataset: str, folder: Path) -> dict[str, Any]:
    """metadata.json of the data set in `folder`. Raises DataError for one that is absent, no JSON or without what reading needs."""
    path = folder / "data" / "metadata.json"
    try:
        metadata = json.loads(path.read_text())
    except FileNotFoundError:
        raise damaged(dataset, folder, "data/metadata.json", "it is missing") from None
    except (OSError, ValueError) as error:
        raise damaged(dataset, folder, "data/metadata.json", f"no JSON: {error}" if isinstance(error, ValueError) else error) from error
    if not isinstance(metadata, dict):
        raise damaged(dataset, folder, "data/metadata.json", f"a {type(metadata).__name__} where an object is expected")
    for key, kind in (("total_episodes", int), ("total_steps", int), ("data_format", str), ("minari_version", str)):
        if not isinstance(metadata.get(key), kind):
            raise damaged(dataset, folder, "data/metadata.json", f"{key} is {metadata.get(key)!r}; expected {kind.__name__}")
    return metadata


class EpisodeFiles(ABC):
    """Reads episodes of the data set in `folder`, whose spaces are known. Use as a context manager."""

    def __init__(
        self, dataset: str, folder: Path, metadata: dict[str, Any], observation_space: spaces.Space, action_space: spaces.Space
    ) -> None:
        self.dataset, self.folder, self.metadata = dataset, folder, metadata
        self.observation_leaves = leaves(observation_space)
        self.observation_width = width(observation_space)
        self.action_space = action_space
        self.lengths = np.empty(0, np.int64)

    def __enter__(self) -> EpisodeFiles:
        self._open()
        self.lengths = self._lengths()
        claimed, found = self.metadata["total_steps"], int(self.lengths.sum())
        if claimed != found:
            raise damaged(self.dataset, self.folder, "data/metadata.json", f"it says total_steps = {claimed}, the episodes have {found}")
        return self

    def __exit__(self, *_: object) -> None:
        self._close()

    def where(self, episode: int) -> str:
        return f"{self.dataset}: episode {episode}"

    def read(self, episode: int) -> Arrays:
        """Episode number `episode`. Raises DataError for anything that is not as the format and the spaces say."""
        where = self.where(episode)
        columns = self._columns(episode)
        steps = int(self.lengths[episode])
        observations = np.empty((steps + 1, self.observation_width), np.float32)
        column = 0
        for path, leaf in self.observation_leaves:
            name = "/".join(("observations", *map(str, path)))
            rows = self._checked(where, name, columns(name, leaf), steps, row_shape(leaf))
            to = width(leaf)
            self._flatten(where, name, leaf, rows, observations[:, column : column + to])
            column += to
        actions = self._checked(where, "actions", columns("actions", self.action_space), steps, row_shape(self.action_space))
        rest = [self._checked(where, name, columns(name, None), steps, ()) for name in ("rewards", "terminations", "truncations")]
        return Arrays(observations, self._numbered(where, actions), *rest)

    def rewards(self, episode: int) -> np.ndarray:
        """[T], without the rest of the episode."""
        return self._checked(self.where(episode), "rewards", self._columns(episode)("rewards", None), int(self.lengths[episode]), ())

    @staticmethod
    def _checked(where: str, name: str, array: np.ndarray, steps: int, shape: tuple[int, ...]) -> np.ndarray:
        if array.dtype.kind not in "fiub":
            raise DataError(f"{where}: {name} has type {array.dtype}; expected numbers")
        rows = steps + name.startswith("observations")
        if array.ndim != 1 + len(shape) or len(array) != rows:
            expected = f"{rows} rows of rank {1 + len(shape)} for {steps} rewards"
            raise DataError(f"{where}: {name} has shape {array.shape}; expected {expected}")
        if array.shape[1:] != shape:
            raise DataError(f"{where}: {name} has rows of shape {array.shape[1:]}; expected {shape}, as its space in metadata.json says")
        return array

    @staticmethod
    def _flatten(where: str, name: str, leaf: spaces.Space, rows: np.ndarray, out: np.ndarray) -> None:
        try:
            with np.errstate(over="ignore"):  # becomes infinite, and is found with the other numbers that are not finite
                flatten_rows(leaf, rows, out)
        except IndexError as error:
            raise DataError(f"{where}: {name} holds {error}; its space is {leaf}") from error

    def _numbered(self, where: str, actions: np.ndarray) -> np.ndarray:
        """Actions [T, act]; discrete ones [T, 1], counted from 0."""
        if not isinstance(self.action_space, spaces.Discrete):
            return actions
        numbers = actions.astype(np.int64) - int(self.action_space.start)
        wrong = (numbers < 0) | (numbers >= self.action_space.n) | (numbers != actions - self.action_space.start)
        if wrong.any():
            step = int(wrong.argmax())
            raise DataError(f"{where}, step {step}: action {actions[step]} is none of {self.action_space}; correct or remove the episode")
        return numbers[:, None]

    # What a format has to say.

    @abstractmethod
    def _open(self) -> None: ...

    def _close(self) -> None:  # noqa: B027 (most have nothing to close)
        """Close what `_open` opened."""

    @abstractmethod
    def _lengths(self) -> np.ndarray:
        """[E] steps of every episode, from the files."""

    @abstractmethod
    def _columns(self, episode: int) -> Callable[[str, spaces.Space | None], np.ndarray]:
        """A function of (name, space) to an array of the episode."""


class Hdf5Files(EpisodeFiles):
    """One HDF5 file. The low-level interface reads small arrays several times as fast as the high-level one."""

    FILE = "data/main_data.hdf5"

    def _open(self) -> None:
        self.size = 0
        try:
            self.size = (self.folder / self.FILE).stat().st_size
            self.file = h5py.h5f.open(str(self.folder / self.FILE).encode(), h5py.h5f.ACC_RDONLY, _small_cache())
        except FileNotFoundError:
            raise damaged(self.dataset, self.folder, self.FILE, "it is missing") from None
        except OSError as error:
            raise damaged(self.dataset, self.folder, self.FILE, f"truncated, or no HDF5 file: {error}") from error

    def _close(self) -> None:
        self.file.close()

    def _lengths(self) -> np.ndarray:
        claimed = self.metadata["total_episodes"]
        found = h5py.h5g.open(self.file, b"/").get_num_objs()
        if found != claimed:
            raise damaged(self.dataset, self.folder, "data/metadata.json", f"it says total_episodes = {claimed}, the file has {found}")
        lengths = np.empty(found, np.int64)
        for episode in range(found):
            shape = self._array(episode, "rewards").shape
            if len(shape) != 1:
                raise DataError(f"{self.where(episode)}: rewards has shape {shape}; expected one a step")
            lengths[episode] = shape[0]
        return lengths

    def _array(self, episode: int, name: str) -> Any:
        try:
            return h5py.h5d.open(self.file, f"episode_{episode}/{name}".encode())
        except (KeyError, OSError, TypeError, ValueError) as error:
            raise DataError(
                f"{self.where(episode)}: no array '{name}' in {self.FILE}; remove {self.folder} and record or download it again"
            ) from error

    def _columns(self, episode: int) -> Callable[[str, spaces.Space | None], np.ndarray]:
        def column(name: str, space: spaces.Space | None) -> np.ndarray:
            source = self._array(episode, name)
            if source.dtype.kind in "OSV":
                return np.empty(source.shape[:0], source.dtype)  # refused for its type
            size = source.dtype.itemsize * int(np.prod(source.shape, dtype=object))
            if size > MAX_EXPANSION * self.size:
                raise DataError(
                    f"{self.where(episode)}: {name} claims {size:,} bytes (shape {source.shape}) in a file of {self.size:,}; "
                    f"remove {self.folder} and record or download it again"
                )
            array = np.empty(source.shape, source.dtype)
            try:
                if array.size:
                    source.read(h5py.h5s.ALL, h5py.h5s.ALL, array)
            except (OSError, ValueError, RuntimeError) as error:
                raise damaged(self.dataset, self.folder, self.FILE, f"episode {episode}, {name}: {error}") from error
            return array

        return column


def _small_cache() -> Any:
    """HDF5 keeps up to 32 MB of what it has seen of a file, and its allocator a multiple; every array here is looked at twice, that is no
    slower with a cache this small."""
    access = h5py.h5p.create(h5py.h5p.FILE_ACCESS)
    config = access.get_mdc_config()
    config.set_initial_size, config.initial_size, config.min_size, config.max_size = True, METADATA_CACHE, METADATA_CACHE, METADATA_CACHE
    access.set_mdc_config(config)
    return access


class ArrowFiles(EpisodeFiles):
    """A folder an episode, in Arrow's IPC format or in Parquet; memory-mapped."""

    def _open(self) -> None:
        self.format = self.metadata["data_format"]

    def _lengths(self) -> np.ndarray:
        data = self.folder / "data"
        found = sorted(int(p.name) for p in data.iterdir() if p.is_dir() and p.name.isdigit())
        claimed = self.metadata["total_episodes"]
        if len(found) != claimed or (found and found[-1] != claimed - 1):
            raise damaged(
                self.dataset, self.folder, "data/metadata.json", f"it says total_episodes = {claimed}, there are {len(found)} folders"
            )
        return np.array([self._steps(data / str(episode), episode) for episode in found], np.int64)

    def _steps(self, folder: Path, episode: int) -> int:
        name = f"data/{episode}/metadata.json"
        try:
            steps = json.loads((folder / "metadata.json").read_text())["total_steps"]
        except (OSError, ValueError, KeyError, TypeError) as error:
            raise damaged(self.dataset, self.folder, name, f"{type(error).__name__}: {error}") from error
        if not isinstance(steps, int) or steps < 0:
            raise damaged(self.dataset, self.folder, name, f"total_steps is {steps!r}")
        return steps

    def _columns(self, episode: int) -> Callable[[str, spaces.Space | None], np.ndarray]:
        import pyarrow
        import pyarrow.dataset

        folder = self.folder / "data" / str(episode)
        try:
            ignored = ["_", ".", "metadata.json"]
            table = pyarrow.dataset.dataset(str(folder), format=self.format, ignore_prefixes=ignored).to_table().combine_chunks()
        except (pyarrow.ArrowException, OSError, ValueError, MemoryError) as error:
            raise damaged(self.dataset, self.folder, f"data/{episode}", f"truncated, or no {self.format} file: {error}") from error
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
                raise DataError(
                    f"{self.where(episode)}: no array '{name}' in data/{episode}; remove {self.folder} and record or download it again"
                ) from None
            found = _numpy(array)[: steps + (first == "observations")]
            shape = () if space is None else row_shape(space)
            fits = found.ndim == 2 and found.shape[1] == np.prod(shape, dtype=int)  # Arrow stores higher ranks flat
            return found.reshape(len(found), *shape) if fits and len(shape) > 1 else found

        return column


def _numpy(array: Any) -> np.ndarray:
    """An Arrow array, of lists of one length or of plain values, as rows; whatever else it is keeps a type that is refused."""
    import pyarrow

    kind = array.type
    if pyarrow.types.is_fixed_size_list(kind):
        return array.flatten().to_numpy(zero_copy_only=False).reshape(len(array), kind.list_size)
    return array.to_numpy(zero_copy_only=False)


FORMATS: dict[str, type[EpisodeFiles]] = {"hdf5": Hdf5Files, "arrow": ArrowFiles, "parquet": ArrowFiles}


def returns_of(files: EpisodeFiles, episodes: Sequence[int] | range) -> np.ndarray:
    """[len(episodes)] float64 raw returns."""
    return np.array([files.rewards(e).astype(np.float32).astype(np.float64).sum() for e in episodes])
