"""Batches of logged steps for a population, drawn from streams that depend on (seed, update) alone.

No generator is carried along: the block of random numbers that update t reads is a function of the member's seed and t, so training
resumes exactly where it was, and a member's stream does not depend on who trains beside it.
"""

from __future__ import annotations

from collections.abc import Sequence
from enum import Enum
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor

from algos.base import Episodes
from algos.batches.random_blocks import Blocks, Draws

BLOCK = 64  # updates whose random numbers are drawn at once
TRAINING_STREAM = 0x5A3


class Sampler(Enum):
    """transitions: steps drawn one by one from the curated trajectories. trajectories: whole ones (the paper's, exact)."""

    transitions = "transitions"
    trajectories = "trajectories"


class LengthWeighting(Enum):
    """per_step: every curated step counts the same. per_episode: every curated episode does, its log-likelihood divided by its length."""

    per_step = "per_step"
    per_episode = "per_episode"


class Batch(NamedTuple):
    """L steps a member. All are [P, L].

    step: index into the data's steps. slot: index of the step's trajectory among the curated ones, and of its row in the batch
    (`row`). coefficient: what the step's log-likelihood counts before any weight; 0 marks padding.
    """

    step: Tensor
    slot: Tensor
    row: Tensor
    coefficient: Tensor


class BatchStream:
    """Batches of a curated multiset of episodes [M] for members `seeds`.

    In expectation over batches both samplers give the same sum of coefficient * f(step): the mean of f over curated steps
    (per_step), or the mean over curated episodes of the mean over their steps (per_episode).
    """

    def __init__(
        self, data: Episodes, curated: Tensor, seeds: Sequence[int], batch_size: int, sampler: Sampler, length_weighting: LengthWeighting
    ) -> None:
        self.device = data.offsets.device
        self.starts, self.lengths = data.offsets[curated], data.lengths[curated]  # [M]
        self.seeds, self.batch_size, self.sampler, self.length_weighting = list(seeds), batch_size, sampler, length_weighting
        self.ends = self.lengths.cumsum(0)  # [M], in steps of the multiset laid out end to end
        self.total = int(self.ends[-1])
        self.blocks = Blocks(self._numbers, BLOCK, self.device)

    def _numbers(self, block: int) -> Draws:
        shape = (BLOCK, self.batch_size, 2)
        streams = (np.random.Generator(np.random.Philox(np.random.SeedSequence([s, TRAINING_STREAM, block]))) for s in self.seeds)
        return {"position": torch.from_numpy(np.stack([g.random(shape) for g in streams], 1))}

    def draws(self, update: int) -> Draws:
        """position: [P, batch_size, 2] uniform float64 numbers of update number `update`."""
        return self.blocks.row(update)

    def batch(self, update: int) -> Batch:
        """The batch of update number `update`."""
        return self.of(self.draws(update))

    def of(self, random: Draws) -> Batch:
        """The batch that random numbers stand for."""
        draws = random["position"]
        if self.sampler is Sampler.trajectories:
            return self._whole(draws[..., 0])
        if self.length_weighting is LengthWeighting.per_step:
            position = (draws[..., 0] * self.total).long()
            slot = torch.searchsorted(self.ends, position, right=True)
            step = self.starts[slot] + position - (self.ends[slot] - self.lengths[slot])
        else:
            slot = (draws[..., 0] * len(self.lengths)).long()
            step = self.starts[slot] + (draws[..., 1] * self.lengths[slot]).long()
        row = torch.arange(self.batch_size, device=self.device).expand_as(slot)
        return Batch(step, slot, row, torch.full(slot.shape, 1 / self.batch_size, device=self.device))

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
        if self.length_weighting is LengthWeighting.per_step:
            each = torch.full_like(slot, 1, dtype=torch.float64) * (len(self.lengths) / self.total)
        else:
            each = 1 / self.lengths[slot].double()
        return Batch(self.starts[slot] + within, slot, row, torch.where(real, each / self.batch_size, 0.0).float())
