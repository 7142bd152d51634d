"""Logged episodes as flat tensors."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable
from dataclasses import dataclass, fields
from functools import cached_property

import numpy as np
import torch
from torch import Tensor

SUMMED_ROWS = 1 << 20  # rewards summed at once


@dataclass(frozen=True)
class Trajectories:
    """E episodes of N steps in all, one after another.

    observations, next_observations: [N, obs] float32. actions: [N, act] float32. rewards: [N] float32.
    terminated: [N] bool, the environment reached a terminal state (do not bootstrap). truncated: [N] bool, the episode was cut off
    (bootstrap). offsets: [E + 1] int64, episode e holds the steps offsets[e] .. offsets[e + 1] - 1.
    num_actions: number of discrete actions, which `actions` [N, 1] holds as numbers from 0; 0 for continuous actions.
    partial: [E] float64, the share of each episode that is right, where the data state it (infos/partial at its last step); else None.

    The offsets alone say where an episode ends; flags and lengths do not.
    """

    observations: Tensor
    actions: Tensor
    rewards: Tensor
    next_observations: Tensor
    terminated: Tensor
    truncated: Tensor
    offsets: Tensor
    num_actions: int = 0
    partial: Tensor | None = None

    @classmethod
    def from_tensors(cls, tensors: Iterable[Tensor], num_actions: int = 0, partial: Tensor | None = None) -> Trajectories:
        """From tensors in the order of TENSORS."""
        return cls(*tensors, num_actions, partial)  # type: ignore[call-arg, arg-type]

    @property
    def num_steps(self) -> int:
        return len(self.rewards)

    @property
    def num_episodes(self) -> int:
        return len(self.offsets) - 1

    @cached_property
    def lengths(self) -> Tensor:
        """Steps of each episode, [E] int64."""
        return self.offsets.diff()

    @cached_property
    def returns(self) -> Tensor:
        """Raw undiscounted return of each episode, [E] float64."""
        returns = torch.zeros(self.num_episodes, dtype=torch.float64, device=self.rewards.device)
        for start in range(0, self.num_steps, SUMMED_ROWS):  # in pieces: the intermediate tensors are larger than the rewards
            rewards = self.rewards[start : start + SUMMED_ROWS]
            steps = torch.arange(start, start + len(rewards), device=rewards.device)
            returns.index_add_(0, torch.searchsorted(self.offsets, steps, right=True) - 1, rewards.double())
        return returns

    @cached_property
    def digest(self) -> str:
        """SHA-256 of every array with its name, type and shape: equal data have equal digests, in any file format."""
        sha = hashlib.sha256()
        for name in TENSORS:
            array = getattr(self, name).cpu().numpy()
            sha.update(f"{name}{array.dtype.str}{array.shape}".encode())
            sha.update(np.ascontiguousarray(array).data)
        if self.num_actions:
            sha.update(f"num_actions{self.num_actions}".encode())
        if self.partial is not None:
            sha.update(b"partial" + self.partial.cpu().numpy().tobytes())
        return sha.hexdigest()

    def steps_of(self, episodes: Tensor) -> Tensor:
        """The steps of the episodes `episodes` [M], one episode after another."""
        lengths = self.lengths[episodes]
        first = (self.offsets[episodes] - lengths.cumsum(0) + lengths).repeat_interleave(lengths)
        return first + torch.arange(len(first), device=first.device)

    def only(self, episodes: Tensor) -> Trajectories:
        """The episodes `episodes` [M], in that order."""
        steps, ends = self.steps_of(episodes), self.lengths[episodes].cumsum(0)
        arrays = {name: getattr(self, name)[steps] for name in TENSORS if name != "offsets"}
        partial = None if self.partial is None else self.partial[episodes]
        return Trajectories(**arrays, offsets=torch.cat([torch.zeros_like(ends[:1]), ends]), num_actions=self.num_actions, partial=partial)

    def to(self, device: torch.device | str) -> Trajectories:
        """The data on `device`; the same object if they are there, with its memory maps and cached properties."""
        if self.rewards.device == torch.device(device):
            return self
        partial = None if self.partial is None else self.partial.to(device)
        return Trajectories.from_tensors((getattr(self, name).to(device) for name in TENSORS), self.num_actions, partial)


TENSORS = tuple(f.name for f in fields(Trajectories) if f.name not in ("num_actions", "partial"))
