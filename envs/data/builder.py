"""Episodes joined into `Trajectories`, checked one by one."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
import torch

from envs.data.trajectories import Trajectories
from envs.errors import DataError

Allocate = Callable[[str, tuple[int, ...], type], np.ndarray]
"""(name, shape, type) -> an array to fill, in memory or memory-mapped."""

CHECKED_ROWS = 16_384  # rows checked at once for numbers that are not finite


def in_memory(name: str, shape: tuple[int, ...], dtype: type) -> np.ndarray:
    """An array in memory."""
    return np.empty(shape, dtype)


class Builder:
    """Fills `Trajectories` episode by episode, in place: no array is in memory twice.

    source: name of the data in error lines. lengths: [E], steps of each episode. where: the name of an episode in error lines, from its
    number. allocate: makes the arrays. num_actions: as in `Trajectories`.
    """

    def __init__(
        self,
        source: str,
        lengths: Sequence[int] | np.ndarray,
        observation_width: int,
        action_width: int,
        where: Callable[[int], str] | None = None,
        allocate: Allocate = in_memory,
        num_actions: int = 0,
    ) -> None:
        self.where, self.num_actions = where or (lambda episode: f"{source}: episode {episode}"), num_actions
        if not len(lengths):
            raise DataError(f"{source}: no episode in it; expected at least one")
        self.offsets = np.concatenate([[0], np.cumsum(np.asarray(lengths, np.int64))])
        n = int(self.offsets[-1])
        self.observations, self.next_observations = (
            allocate(name, (n, observation_width), np.float32) for name in ("observations", "next_observations")
        )
        self.actions = allocate("actions", (n, action_width), np.float32)
        self.rewards = allocate("rewards", (n,), np.float32)
        self.terminated, self.truncated = (allocate(name, (n,), np.bool_) for name in ("terminated", "truncated"))
        self.filled = 0

    def rows(self) -> slice:
        """Rows of the next episode. Raises DataError if it has no step."""
        start, stop = self.offsets[self.filled : self.filled + 2].tolist()
        if start == stop:
            raise DataError(f"{self.where(self.filled)}: has no step; remove the episode")
        return slice(start, stop)

    def add(
        self, observations: np.ndarray, actions: np.ndarray, rewards: np.ndarray, terminated: np.ndarray, truncated: np.ndarray
    ) -> None:
        """Add the next episode: observations [T + 1, obs], actions [T, act], rewards, terminated and truncated [T].

        Raises DataError, naming the episode, for arrays that do not fit together.
        """
        rows = self.rows()
        steps = rows.stop - rows.start
        where = self.where(self.filled)
        arrays = {
            "observations": observations, "actions": actions, "rewards": rewards, "terminations": terminated, "truncations": truncated,
        }  # fmt: skip
        for name, array in arrays.items():
            array = arrays[name] = np.asarray(array)
            rank, count = (2 if name in ("observations", "actions") else 1), steps + (name == "observations")
            if array.ndim != rank or len(array) != count:
                raise DataError(f"{where}: {name} has shape {array.shape}; expected {count} rows of rank {rank} for {steps} rewards")
            if array.dtype.kind not in "fiub":
                raise DataError(f"{where}: {name} has type {array.dtype}; expected numbers")
        found = arrays["observations"].shape[1], arrays["actions"].shape[1]
        if found != (expected := (self.observations.shape[1], self.actions.shape[1])):
            raise DataError(f"{where}: observation and action widths are {found}; episode 0 has {expected}")
        for name in ("terminations", "truncations"):
            flags = arrays[name]
            if flags.dtype.kind != "b" and not np.isin(flags, (0, 1)).all():
                raise DataError(f"{where}: {name} holds other values than 0 and 1; expected flags")
        with np.errstate(over="ignore"):  # a number too large for float32 becomes infinite: `finish` finds it
            self.observations[rows], self.next_observations[rows] = arrays["observations"][:-1], arrays["observations"][1:]
            self.actions[rows], self.rewards[rows] = arrays["actions"], arrays["rewards"]
        self.terminated[rows], self.truncated[rows] = arrays["terminations"], arrays["truncations"]
        self.filled += 1

    def finish(self) -> Trajectories:
        """The data. Raises DataError, naming episode and step, for numbers that are not finite."""
        assert self.filled == len(self.offsets) - 1
        for name in ("observations", "actions", "rewards"):
            self._check_finite(name, getattr(self, name))
        last = self.offsets[1:] - 1  # all other next observations are observations, checked above
        self._check_finite("observations", self.next_observations, last, offset=1)
        flat = (self.observations, self.actions, self.rewards, self.next_observations, self.terminated, self.truncated, self.offsets)
        return Trajectories.from_tensors(map(torch.from_numpy, flat), self.num_actions)

    def _check_finite(self, name: str, array: np.ndarray, rows: np.ndarray | None = None, offset: int = 0) -> None:
        """Check `rows` of `array`, or all. offset: from the row's step to the step in the error line."""
        for start in range(0, len(array if rows is None else rows), CHECKED_ROWS):
            piece = slice(start, start + CHECKED_ROWS)
            part = array[piece] if rows is None else array[rows[piece]]
            finite = np.isfinite(part)
            if not finite.all():
                row = start + int((~finite.reshape(len(part), -1).all(1)).argmax())
                row = row if rows is None else int(rows[row])
                episode = int(np.searchsorted(self.offsets, row, side="right")) - 1
                step = row - int(self.offsets[episode]) + offset
                raise DataError(f"{self.where(episode)}, step {step}: {name} is not finite; correct or remove the episode")
