"""Logged episodes as flat, ragged tensors."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
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

    @classmethod
    def from_episodes(cls, episodes: Sequence[tuple], source: str = "data") -> Trajectories:
        """Join episodes given as (observations [T + 1, obs], actions [T, act], rewards [T], terminated [T], truncated [T]).

        Raises DataError, naming `source`, episode and step, for arrays that do not fit together, empty episodes and non-finite numbers.
        """
        if not episodes:
            raise DataError(f"{source}: no episode in it; expected at least one")
        columns: list[list[np.ndarray]] = [[] for _ in range(6)]
        widths = tuple(np.shape(a)[1:] for a in episodes[0][:2])
        for e, (observations, actions, rewards, terminated, truncated) in enumerate(episodes):
            where = f"{source}: episode {e}"
            arrays = {
                "observations": np.asarray(observations, np.float32),
                "actions": np.asarray(actions, np.float32),
                "rewards": np.asarray(rewards, np.float32),
                "terminations": np.asarray(terminated, bool),
                "truncations": np.asarray(truncated, bool),
            }
            steps = len(arrays["rewards"])
            if steps == 0:
                raise DataError(f"{where}: has no step; remove the episode")
            for name, array in arrays.items():
                rank, rows = (2 if name in ("observations", "actions") else 1), steps + (name == "observations")
                if array.ndim != rank or len(array) != rows:
                    raise DataError(f"{where}: {name} has shape {array.shape}; expected {rows} rows of rank {rank} for {steps} rewards")
                bad = ~np.isfinite(array.reshape(rows, -1)).all(1)
                if bad.any():
                    raise DataError(f"{where}, step {int(bad.argmax())}: {name} is not finite; mend or remove the episode")
            if (arrays["observations"].shape[1:], arrays["actions"].shape[1:]) != widths:
                found = arrays["observations"].shape[1], arrays["actions"].shape[1]
                raise DataError(f"{where}: observation and action widths are {found}; episode 0 has {tuple(w[0] for w in widths)}")
            obs = arrays["observations"]
            row = (obs[:-1], arrays["actions"], arrays["rewards"], obs[1:], arrays["terminations"], arrays["truncations"])
            for column, array in zip(columns, row, strict=True):
                column.append(array)
        offsets = np.cumsum([0] + [len(r) for r in columns[2]])
        tensors = [torch.from_numpy(np.concatenate(column)) for column in columns]
        return cls(*tensors, torch.from_numpy(offsets))  # type: ignore[call-arg]

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
        zeros = torch.zeros(self.num_episodes, dtype=torch.float64, device=self.rewards.device)
        return zeros.index_add(0, self.episode_of_step, self.rewards.double())

    @cached_property
    def digest(self) -> str:
        """SHA-256 of every array with its name, type and shape: the same data have the same digest, whatever file they came from."""
        sha = hashlib.sha256()
        for f in fields(self):
            array = getattr(self, f.name).cpu().numpy()
            sha.update(f"{f.name}{array.dtype.str}{array.shape}".encode())
            sha.update(np.ascontiguousarray(array).data)
        return sha.hexdigest()

    def to(self, device: torch.device | str) -> Trajectories:
        return Trajectories(*(getattr(self, f.name).to(device) for f in fields(self)))
