"""Logged episodes as flat, ragged tensors."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, fields
from functools import cached_property

import numpy as np
import torch
from torch import Tensor

from envs.errors import DataError


@dataclass(frozen=True)
class Trajectories:
    """E episodes, N steps in all, stored one after another (CSR style).

    observations, next_observations: [N, obs] float32. actions: [N, act] float32. rewards: [N] float32.
    terminated: [N] bool, the environment reached a terminal state (do not bootstrap). truncated: [N] bool, the episode was cut off
    (do bootstrap). offsets: [E + 1] int64, episode e holds the steps offsets[e] .. offsets[e + 1] - 1.

    An episode end is where the offsets say, never where a flag is set or a length is reached.
    """

    observations: Tensor
    actions: Tensor
    rewards: Tensor
    next_observations: Tensor
    terminated: Tensor
    truncated: Tensor
    offsets: Tensor
    num_actions: int = 0  # of discrete actions, which `actions` [N, 1] holds as their numbers; 0 means continuous ones

    @classmethod
    def of(cls, tensors: Iterable[Tensor], num_actions: int = 0) -> Trajectories:
        """From the tensors in the order above."""
        return cls(*tensors, num_actions)  # type: ignore[call-arg, arg-type]

    @classmethod
    def from_episodes(cls, episodes: Sequence[tuple], source: str = "data") -> Trajectories:
        """Join episodes given as (observations [T + 1, obs], actions [T, act], rewards [T], terminated [T], truncated [T]).

        Raises DataError, naming `source`, episode and step, for arrays that do not fit together, empty episodes and non-finite numbers.
        """
        if not episodes:
            raise DataError(f"{source}: no episode in it; expected at least one")
        shapes = [np.shape(a) for a in episodes[0][:2]]
        widths = [shape[1] if len(shape) == 2 else 0 for shape in shapes]
        builder = Builder(source, [len(e[2]) for e in episodes], widths[0], widths[1])
        for episode in episodes:
            builder.add(*episode)
        return builder.finish()

    @property
    def num_steps(self) -> int:
        return len(self.rewards)

    @property
    def num_episodes(self) -> int:
        return len(self.offsets) - 1

    @cached_property
    def lengths(self) -> Tensor:
        """[E] int64, steps an episode."""
        return self.offsets.diff()

    @cached_property
    def episode_of_step(self) -> Tensor:
        """[N] int64, the episode that a step belongs to."""
        return torch.repeat_interleave(torch.arange(self.num_episodes, device=self.offsets.device), self.lengths)

    @cached_property
    def returns(self) -> Tensor:
        """[E] float64, raw undiscounted return of each episode."""
        returns = torch.zeros(self.num_episodes, dtype=torch.float64, device=self.rewards.device)
        for start in range(0, self.num_steps, SUMMED_ROWS):  # in pieces: what is computed a step is larger than a reward
            rewards = self.rewards[start : start + SUMMED_ROWS]
            steps = torch.arange(start, start + len(rewards), device=rewards.device)
            returns.index_add_(0, torch.searchsorted(self.offsets, steps, right=True) - 1, rewards.double())
        return returns

    @cached_property
    def digest(self) -> str:
        """SHA-256 of every array with its name, type and shape: the same data have the same digest, whatever file they came from."""
        sha = hashlib.sha256()
        for name in TENSORS:
            array = getattr(self, name).cpu().numpy()
            sha.update(f"{name}{array.dtype.str}{array.shape}".encode())
            sha.update(np.ascontiguousarray(array).data)
        if self.num_actions:
            sha.update(f"num_actions{self.num_actions}".encode())
        return sha.hexdigest()

    def to(self, device: torch.device | str) -> Trajectories:
        """The same data on `device`; itself where it is there, memory maps untouched and what was derived kept."""
        if self.rewards.device == torch.device(device):
            return self
        return Trajectories.of((getattr(self, name).to(device) for name in TENSORS), self.num_actions)


TENSORS = tuple(f.name for f in fields(Trajectories) if f.name != "num_actions")

Allocate = Callable[[str, tuple[int, ...], type], np.ndarray]
"""(name, shape, type) -> an array to fill; a memory map, say."""

SUMMED_ROWS = 1 << 20  # rewards added up in one go
CHECK_ROWS = 16_384  # rows looked at in one go for numbers that are not finite


def in_memory(name: str, shape: tuple[int, ...], dtype: type) -> np.ndarray:
    return np.empty(shape, dtype)


class Builder:
    """Fills `Trajectories` episode by episode, in place: nothing is held twice, whatever the size of the data.

    source: what error lines call the data. lengths: steps of every episode, known in advance. where: what error lines call an
    episode, of its number; a function, for there may be a hundred thousand and no error.
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
        """The rows of the next episode. Raises DataError if it has no step."""
        start, stop = self.offsets[self.filled : self.filled + 2].tolist()
        if start == stop:
            raise DataError(f"{self.where(self.filled)}: has no step; remove the episode")
        return slice(start, stop)

    def add(
        self, observations: np.ndarray, actions: np.ndarray, rewards: np.ndarray, terminated: np.ndarray, truncated: np.ndarray
    ) -> None:
        """The next episode: observations [T + 1, obs], actions [T, act], rewards, terminated and truncated [T]."""
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
        with np.errstate(over="ignore"):  # a number too large for float32 becomes infinite, and is found below
            self.observations[rows], self.next_observations[rows] = arrays["observations"][:-1], arrays["observations"][1:]
            self.actions[rows], self.rewards[rows] = arrays["actions"], arrays["rewards"]
        self.terminated[rows], self.truncated[rows] = arrays["terminations"], arrays["truncations"]
        self.filled += 1

    def finish(self) -> Trajectories:
        """The data, after a look for numbers that are not finite. Raises DataError naming episode and step."""
        assert self.filled == len(self.offsets) - 1
        for name in ("observations", "actions", "rewards"):
            self._check_finite(name, getattr(self, name))
        last = self.offsets[1:] - 1  # every other next observation is an observation, and was looked at
        self._check_finite("observations", self.next_observations, last, ahead=1)
        flat = (self.observations, self.actions, self.rewards, self.next_observations, self.terminated, self.truncated, self.offsets)
        return Trajectories.of(map(torch.from_numpy, flat), self.num_actions)

    def _check_finite(self, name: str, array: np.ndarray, rows: np.ndarray | None = None, ahead: int = 0) -> None:
        """Look at `rows` of `array`, or at all of them."""
        for start in range(0, len(array if rows is None else rows), CHECK_ROWS):
            piece = slice(start, start + CHECK_ROWS)
            part = array[piece] if rows is None else array[rows[piece]]
            finite = np.isfinite(part)
            if not finite.all():
                row = start + int((~finite.reshape(len(part), -1).all(1)).argmax())
                row = row if rows is None else int(rows[row])
                episode = int(np.searchsorted(self.offsets, row, side="right")) - 1
                step = row - int(self.offsets[episode]) + ahead
                raise DataError(f"{self.where(episode)}, step {step}: {name} is not finite; mend or remove the episode")
