"""Batches of logged transitions for methods that learn values, with the random numbers that such a method needs.

Like the batches of algos/batches/sampling.py they depend on (seed, update) alone.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from enum import Enum
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor

from algos.base import Draws, Episodes
from algos.batches.random_blocks import Blocks
from algos.batches.sampling import BatchStream, LengthWeighting, Sampler
from algos.errors import ConfigError

NOISE_STREAM = 0x2E15
BLOCK = 16  # updates whose random numbers are drawn at once


class Transitions(NamedTuple):
    """B transitions per member.

    step: [P, B], index into the data. observations, next_observations: [P, B, obs]. actions: [P, B, act]. rewards: [P, B]. live: [P, B],
    factor of a bootstrapped value: 0 where the environment terminated, else 1, also at the end of a truncated episode.
    noise: the method's random numbers by name, each [P, *shape].
    """

    step: Tensor
    observations: Tensor
    actions: Tensor
    rewards: Tensor
    next_observations: Tensor
    live: Tensor
    noise: Mapping[str, Tensor]


class Noise(NamedTuple):
    """Shape and kind of a member's random numbers of one update: standard normal, or uniform in [-1, 1)."""

    shape: tuple[int, ...]
    uniform: bool = False


class RewardScaling(Enum):
    """The scaling of rewards. return_range: times 1000 / (largest - smallest episode return), as in IQL's code for locomotion."""

    none = "none"
    return_range = "return_range"

    def factor(self, data: Episodes) -> float:
        """The factor of rewards. Raises ConfigError if all episodes have the same return."""
        if self is RewardScaling.none:
            return 1.0
        spread = float(data.returns.max() - data.returns.min())
        if spread == 0:
            raise ConfigError("reward_scaling = return_range: all episodes have the same return; use reward_scaling=none")
        return 1000 / spread


class TransitionStream:
    """Transitions drawn uniformly from all of `data`, for members `seeds`; `shift` and `scale` [obs] normalise observations."""

    def __init__(
        self,
        data: Episodes,
        rewards: Tensor,
        seeds: Sequence[int],
        batch_size: int,
        noise: Mapping[str, Noise],
        shift: Tensor,
        scale: Tensor,
    ) -> None:
        self.data, self.rewards, self.seeds, self.noise = data, rewards, list(seeds), noise
        self.shift, self.scale = shift, scale
        self.normalises = bool((shift != 0).any() or (scale != 1).any())
        self.has_next = torch.ones(len(rewards), dtype=torch.bool, device=rewards.device)
        self.has_next[data.offsets[1:] - 1] = False
        everything = torch.arange(len(data.lengths), device=data.offsets.device)
        self.steps = BatchStream(data, everything, seeds, batch_size, Sampler.transitions, LengthWeighting.per_step)
        self.blocks = Blocks(self._noises, BLOCK, rewards.device)

    def draws(self, update: int) -> Draws:
        """The random numbers of update number `update`: the batch's (algos/batches/sampling.py) and the method's."""
        return self.steps.draws(update) | (self.blocks.row(update) if self.noise else {})

    def batch(self, update: int) -> Transitions:
        """The batch of update number `update`."""
        return self.from_draws(self.draws(update))

    def from_draws(self, draws: Draws) -> Transitions:
        """The batch of the random numbers `draws`."""
        return self.gather(self.steps.from_draws(draws).step, {name: draws[name] for name in self.noise})

    def gather(self, step: Tensor, noise: Mapping[str, Tensor]) -> Transitions:
        """The transitions at `step` [P, B]."""
        data = self.data
        observations, next_observations = (self.normalise(x[step]) for x in (data.observations, data.next_observations))
        live = (~data.terminated[step]).to(self.rewards.dtype)
        return Transitions(step, observations, data.actions[step], self.rewards[step], next_observations, live, noise)

    def normalise(self, observations: Tensor) -> Tensor:
        """`observations` [..., obs], normalised for the networks."""
        return (observations - self.shift) / self.scale if self.normalises else observations

    def next_actions(self, step: Tensor) -> tuple[Tensor, Tensor]:
        """The actions [P, B, act] logged one step after `step` [P, B], and a mask [P, B]: 0 at an episode's last step, which has none."""
        next_step = (step + 1).clamp(max=len(self.data.actions) - 1)
        return self.data.actions[next_step], self.has_next[step].to(self.rewards.dtype)

    def _noise(self, update: int) -> Draws:
        """Noise [P, *shape] of update number `update`, on the host."""
        members = []
        for seed in self.seeds:
            rng = np.random.Generator(np.random.Philox(np.random.SeedSequence([seed, NOISE_STREAM, update])))
            members.append({name: _draw(rng, noise) for name, noise in self.noise.items()})
        return {name: torch.from_numpy(np.stack([m[name] for m in members])) for name in self.noise}

    def _noises(self, block: int) -> Draws:
        """Noise [BLOCK, P, *shape] of the updates of block number `block`."""
        rows = [self._noise(update) for update in range(block * BLOCK, (block + 1) * BLOCK)]
        return {name: torch.stack([row[name] for row in rows]) for name in self.noise}


def _draw(rng: np.random.Generator, noise: Noise) -> np.ndarray:
    return 2 * rng.random(noise.shape, np.float32) - 1 if noise.uniform else rng.standard_normal(noise.shape, np.float32)
