"""Batches of logged steps for a population, drawn from streams that depend on (seed, update) alone.

No generator has a state: the random numbers of update t are a function of the member's seed and t. Training therefore resumes exactly, and
a member's batches do not depend on the other members.
"""

from __future__ import annotations

from collections.abc import Sequence
from enum import Enum
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor

from algos.base import Draws, Episodes
from algos.batches.random_blocks import Blocks

BLOCK = 64  # updates whose random numbers are drawn at once
TRAINING_STREAM = 0x5A3


class Sampler(Enum):
    """The unit of a batch. transitions: single steps of the curated trajectories. trajectories: whole ones, as in arXiv 2507.12856."""

    transitions = "transitions"
    trajectories = "trajectories"


class LengthWeighting(Enum):
    """The unit that counts equally. per_step: every curated step. per_episode: every curated episode, its sum divided by its length."""

    per_step = "per_step"
    per_episode = "per_episode"


class Batch(NamedTuple):
    """L steps per member. All fields are [P, L].

    step: index into the data's steps. slot: index of the step's trajectory among the curated ones. row: index of the trajectory in the
    batch. coefficient: factor of the step's log-likelihood before any weight; 0 for padding.
    """

    step: Tensor
    slot: Tensor
    row: Tensor
    coefficient: Tensor


class BatchStream:
    """Batches from a curated multiset of episodes [M] for members `seeds`.

    In expectation over batches both samplers give the same sum of coefficient * f(step): the mean of f over curated steps
    (per_step), or the mean over curated episodes of the mean over their steps (per_episode).
    base [M]: the share of each curated episode in that sum. one_shape: pad every trajectory to the longest curated one, so that all batches
    of whole trajectories have one shape.
    """

    def __init__(
        self,
        data: Episodes,
        curated: Tensor,
        seeds: Sequence[int],
        batch_size: int,
        sampler: Sampler,
        length_weighting: LengthWeighting,
        one_shape: bool = False,
    ) -> None:
        self.device = data.offsets.device
        self.starts, self.lengths = data.offsets[curated], data.lengths[curated]  # [M]
        self.seeds, self.batch_size, self.sampler, self.length_weighting = list(seeds), batch_size, sampler, length_weighting
        self.ends = self.lengths.cumsum(0)  # [M], of the multiset's episodes laid end to end
        self.total, self.longest = int(self.ends[-1]), int(self.lengths.max()) if one_shape else None
        per_step = length_weighting is LengthWeighting.per_step
        self.base = self.lengths / self.total if per_step else torch.full_like(self.lengths, 1 / len(curated), dtype=torch.float32)
        self.blocks = Blocks(self._numbers, BLOCK, self.device)

    def _numbers(self, block: int) -> Draws:
        shape = (BLOCK, self.batch_size, 2)
        streams = (np.random.Generator(np.random.Philox(np.random.SeedSequence([s, TRAINING_STREAM, block]))) for s in self.seeds)
        return {"position": torch.from_numpy(np.stack([g.random(shape) for g in streams], 1))}

    def draws(self, update: int) -> Draws:
        """The random numbers of update number `update`: position, [P, batch_size, 2] uniform float64 in [0, 1)."""
        return self.blocks.row(update)

    def batch(self, update: int) -> Batch:
        """The batch of update number `update`."""
        return self.from_draws(self.draws(update))

    def from_draws(self, draws: Draws) -> Batch:
        """The batch of the random numbers `draws`."""
        uniform = draws["position"]
        if self.sampler is Sampler.trajectories:
            return self._whole(uniform[..., 0]) if self.longest is None else self._padded(uniform[..., 0], self.longest)
        if self.length_weighting is LengthWeighting.per_step:
            position = (uniform[..., 0] * self.total).long()
            slot = torch.searchsorted(self.ends, position, right=True)
            step = self.starts[slot] + position - (self.ends[slot] - self.lengths[slot])
        else:
            slot = (uniform[..., 0] * len(self.lengths)).long()
            step = self.starts[slot] + (uniform[..., 1] * self.lengths[slot]).long()
        row = torch.arange(self.batch_size, device=self.device).expand_as(slot)
        return Batch(step, slot, row, torch.full(slot.shape, 1 / self.batch_size, device=self.device))

    def spaced(self, most: int) -> Tensor:
        """At most `most` evenly spaced steps of the multiset, as indices into the data's steps."""
        position = torch.arange(0, self.total, -(-self.total // most), device=self.device)
        slot = torch.searchsorted(self.ends, position, right=True)
        return self.starts[slot] + position - (self.ends[slot] - self.lengths[slot])

    def _whole(self, uniform: Tensor) -> Batch:
        """Whole trajectories, laid end to end and padded to the longest member's number of steps."""
        slots = (uniform * len(self.lengths)).long()  # [P, B]
        lengths = self.lengths[slots]
        ends = lengths.cumsum(1)
        position = torch.arange(int(ends[:, -1].max()), device=self.device).expand(len(slots), -1).contiguous()
        row = torch.searchsorted(ends, position, right=True)
        real = row < self.batch_size
        row = row.clamp(max=self.batch_size - 1)
        slot = slots.gather(1, row)
        within = torch.where(real, position - (ends - lengths).gather(1, row), 0)
        return self._batch(slot, row, within, real)

    def _padded(self, uniform: Tensor, longest: int) -> Batch:
        """Whole trajectories, each padded to `longest` steps."""
        slot = (uniform * len(self.lengths)).long().repeat_interleave(longest, 1)  # [P, B * longest]
        position = torch.arange(longest, device=self.device).repeat(self.batch_size)
        real = position < self.lengths[slot]
        row = torch.arange(self.batch_size, device=self.device).repeat_interleave(longest).expand_as(slot)
        return self._batch(slot, row, torch.where(real, position, 0), real)

    def _batch(self, slot: Tensor, row: Tensor, within: Tensor, real: Tensor) -> Batch:
        """The batch of the steps `within` of trajectories `slot`; those that are not `real` are padding."""
        if self.length_weighting is LengthWeighting.per_step:
            each = torch.full_like(slot, 1, dtype=torch.float64) * (len(self.lengths) / self.total)
        else:
            each = 1 / self.lengths[slot].double()
        return Batch(self.starts[slot] + within, slot, row, torch.where(real, each / self.batch_size, 0.0).float())
