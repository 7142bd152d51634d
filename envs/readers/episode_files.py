"""Base of the readers of one Minari data set's files: metadata, checks of every episode, error lines.

Own code, because Minari's iterator decodes every info and opens every array by name, which takes most of the time and memory of loading.
Spaces, environments and versions are left to Minari (`envs.readers.join`).
"""

from __future__ import annotations

import os
import shutil
from abc import ABC, abstractmethod
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from gymnasium import spaces

from envs.data.spaces import flatten_rows, leaves, row_shape, width
from envs.errors import DataError, first_line
from envs.untrusted import check_tree, clean, parse_json, read_text

GET_AGAIN = "record or download it again"


class Arrays(NamedTuple):
    """One episode: observations [T + 1, obs], actions [T, act], rewards, terminations and truncations [T]."""

    observations: np.ndarray
    actions: np.ndarray
    rewards: np.ndarray
    terminations: np.ndarray
    truncations: np.ndarray


class AbsentError(DataError):
    """An array that an episode does not have."""


def damaged(dataset: str, folder: Path, file: str, reason: object) -> DataError:
    """The error for a file of `dataset` that cannot be used."""
    return DataError(f"{dataset}: cannot be read ({file}: {first_line(reason)}); remove {folder} and {GET_AGAIN}")


def read_metadata(dataset: str, folder: Path) -> dict[str, Any]:
    """Read metadata.json of the data set in `folder`. Raises DataError if it is absent, no JSON or lacks a key that reading needs."""
    name = "data/metadata.json"
    try:
        check_tree(folder)
        metadata = clean_metadata(parse_json(read_text(folder, name)))
    except FileNotFoundError:
        raise damaged(dataset, folder, name, "it is missing") from None
    except ValueError as error:
        raise damaged(dataset, folder, name, f"no JSON: {error}") from error
    except (OSError, DataError) as error:
        raise damaged(dataset, folder, name, str(error).removeprefix(f"{folder / name}: ")) from error
    if not isinstance(metadata, dict):
        raise damaged(dataset, folder, name, f"a {type(metadata).__name__} where an object is expected")
    for key, kind in (("total_episodes", int), ("total_steps", int), ("data_format", str), ("minari_version", str)):
        if not isinstance(metadata.get(key), kind):
            raise damaged(dataset, folder, name, f"{key} is {metadata.get(key)!r}; expected {kind.__name__}")
    return metadata


def machine_memory() -> int:
    """Bytes of memory of this machine."""
    return os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")


def clean_metadata(metadata: Any) -> Any:
    """metadata.json with its own texts on one printable line each; environments and spaces are JSON texts, which their readers check."""
    if not isinstance(metadata, dict):
        return metadata
    return {k: clean(v) if isinstance(v, str) and not k.endswith(("_spec", "_space")) else v for k, v in metadata.items()}


class EpisodeFiles(ABC):
    """Reads the episodes of the data set in `folder`. Use as a context manager. lengths: [E], steps of each episode."""

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
            raise self._damaged("data/metadata.json", f"it says total_steps = {claimed}, the episodes have {found}")
        needed = 4 * (found + len(self.lengths)) * self.observation_width
        if needed > (most := max(machine_memory(), shutil.disk_usage(self.folder).free)):
            raise DataError(f"{self.dataset}: its observations need {needed:,} bytes, more than memory and free disk have ({most:,})")
        return self

    def __exit__(self, *_: object) -> None:
        self._close()

    def where(self, episode: int) -> str:
        """The name of an episode in error lines."""
        return f"{self.dataset}: episode {episode}"

    def read(self, episode: int) -> Arrays:
        """Episode number `episode`. Raises DataError if it differs from what the format and the spaces say."""
        where = self.where(episode)
        columns = self._columns(episode)
        steps = int(self.lengths[episode])
        actions = _checked(where, "actions", columns("actions", self.action_space), steps, row_shape(self.action_space))
        rest = [_checked(where, name, columns(name, None), steps, ()) for name in ("rewards", "terminations", "truncations")]
        return Arrays(self._observations(episode, columns), self._from_zero(where, actions), *rest)

    def _observations(self, episode: int, columns: Callable[[str, spaces.Space | None], np.ndarray]) -> np.ndarray:
        """Flat observations [T + 1, obs] float32 of an episode."""
        where, steps, column = self.where(episode), int(self.lengths[episode]), 0
        observations = np.empty((steps + 1, self.observation_width), np.float32)
        for path, leaf in self.observation_leaves:
            name = "/".join(("observations", *map(self._part, path)))
            rows = _checked(where, name, columns(name, leaf), steps, row_shape(leaf))
            stop = column + width(leaf)
            _flatten(where, name, leaf, rows, observations[:, column:stop])
            column = stop
        return observations

    def rewards(self, episode: int) -> np.ndarray:
        """Rewards [T] of an episode, without reading the rest of it."""
        return _checked(self.where(episode), "rewards", self._columns(episode)("rewards", None), int(self.lengths[episode]), ())

    def info(self, episode: int, name: str) -> np.ndarray:
        """Info `name` [T] of an episode, one finite number a step. Raises DataError if the episode has none."""
        where, info = self.where(episode), f"infos/{name}"
        try:
            column = self._columns(episode)(info, None)
        except AbsentError:
            raise DataError(f"{where}: states no {info}") from None
        found = _checked(where, info, column, int(self.lengths[episode]), ())
        if not np.isfinite(found).all():
            raise DataError(f"{where}, step {int((~np.isfinite(found)).argmax())}: {info} is not finite")
        return found

    def attribute(self, episode: int, name: str) -> float | None:
        """The number `name` in the metadata of an episode; None without one, and in formats that have no such metadata."""
        return None

    def returns(self) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Raw return of each episode [E] float64 as `Trajectories` has it, length [E], and its rounding error [E] at most."""
        rewards = (self.rewards(episode).astype(np.float32).astype(np.float64) for episode in range(len(self.lengths)))
        returns, magnitudes = np.array([(found.sum(), np.abs(found).sum()) for found in rewards]).reshape(-1, 2).T
        return returns, self.lengths, magnitudes * np.finfo(np.float32).eps

    def _from_zero(self, where: str, actions: np.ndarray) -> np.ndarray:
        """Actions [T, act]; discrete actions [T, 1], counted from 0."""
        if not isinstance(self.action_space, spaces.Discrete):
            return actions
        numbers = actions.astype(np.int64) - int(self.action_space.start)
        wrong = (numbers < 0) | (numbers >= self.action_space.n) | (numbers != actions - self.action_space.start)
        if wrong.any():
            step = int(wrong.argmax())
            what = f"action {actions[step]} is none of {self.action_space}"
            raise DataError(f"{where}, step {step}: {what}; correct or remove the episode")
        return numbers[:, None]

    def _damaged(self, file: str, reason: object) -> DataError:
        return damaged(self.dataset, self.folder, file, reason)

    def _absent(self, episode: int, name: str, file: str) -> AbsentError:
        return AbsentError(f"{self.where(episode)}: no array '{name}' in {file}; remove {self.folder} and {GET_AGAIN}")

    @staticmethod
    def _part(name: str | int) -> str:
        """The name in the files of a part of a dict, or of a tuple (by number)."""
        return str(name)

    # Each format defines these.

    @abstractmethod
    def _open(self) -> None: ...

    def _close(self) -> None:  # noqa: B027 (most formats have nothing to close)
        """Close the files that `_open` opened."""

    @abstractmethod
    def _lengths(self) -> np.ndarray:
        """Steps of each episode, [E], from the files."""

    @abstractmethod
    def _columns(self, episode: int) -> Callable[[str, spaces.Space | None], np.ndarray]:
        """A function from the name and space of an array to the array of the episode."""


def _checked(where: str, name: str, array: np.ndarray, steps: int, shape: tuple[int, ...]) -> np.ndarray:
    """`array`, if it holds numbers in rows of `shape`. Raises DataError otherwise."""
    if array.dtype.kind not in "fiub":
        raise DataError(f"{where}: {name} has type {array.dtype}; expected numbers")
    rows = steps + name.startswith("observations")
    if array.ndim != 1 + len(shape) or len(array) != rows:
        expected = f"{rows} rows of rank {1 + len(shape)} for {steps} rewards"
        raise DataError(f"{where}: {name} has shape {array.shape}; expected {expected}")
    if array.shape[1:] != shape:
        raise DataError(f"{where}: {name} has rows of shape {array.shape[1:]}; expected {shape}, as its space in metadata.json says")
    return array


def _flatten(where: str, name: str, leaf: spaces.Space, rows: np.ndarray, out: np.ndarray) -> None:
    """Write `rows` of `leaf` flat into `out`. Raises DataError for numbers outside the space."""
    try:
        with np.errstate(over="ignore"):  # becomes infinite, which the check for finite numbers finds
            flatten_rows(leaf, rows, out)
    except IndexError as error:
        raise DataError(f"{where}: {name} holds {error}; its space is {leaf}") from error
