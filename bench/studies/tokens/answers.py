"""Answers of a population's policies to instances of a token task, and their log-probabilities."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor

from algos.networks.mlp import Params
from algos.networks.token_policy import Noise, TokenPolicy
from envs.evaluation.tokens.environment import TokenBatch
from envs.evaluation.tokens.task import Task
from envs.evaluation.tokens.vocabulary import CONTEXT, END

AT_ONCE = 4096  # rows of all members that are written, or read, at once


@dataclass(frozen=True)
class Answers:
    """Prompts with answers of P members, B each.

    tokens: [P, B, CONTEXT] int64. starts: [P, B] tokens of the prompts. lengths: [P, B] tokens of both. solved: [P, B] bool.
    """

    tokens: Tensor
    starts: Tensor
    lengths: Tensor
    solved: Tensor

    def part(self, rows: slice) -> Answers:
        """The rows `rows` of each member."""
        return Answers(*(x[:, rows] for x in (self.tokens, self.starts, self.lengths, self.solved)))

    def places(self) -> tuple[Tensor, Tensor]:
        """The places [P, B, T] of the tokens before those of the answers, and a mask [P, B, T] of the answers' tokens."""
        within = torch.arange(int((self.lengths - self.starts).max()))
        real = within < (self.lengths - self.starts).unsqueeze(-1)
        return (self.starts.unsqueeze(-1) - 1 + within).clamp(max=CONTEXT - 2), real


def write(net: TokenPolicy, flat: Tensor, task: Task, instances: Sequence[Sequence[Any]], noise: np.ndarray | None) -> Answers:
    """Answers of the policies `flat` [P, N] to `instances`, B for each member, drawn with uniform numbers `noise` [P, B, CONTEXT], or the
    likeliest ones."""
    members, params = len(flat), net.layout.views(flat)
    batch = TokenBatch(task, [instance for own in instances for instance in own])
    prompts, starts = (torch.from_numpy(x).unflatten(0, (members, -1)) for x in (batch.tokens, batch.starts))
    table = None if noise is None else torch.from_numpy(noise)
    size, written = max(1, AT_ONCE // members), []
    for first in range(0, prompts.shape[1], size):
        rows = slice(first, first + size)
        own = None if table is None else _reader(table[:, rows])
        written.append(net.write(params, prompts[:, rows], starts[:, rows], END, own))
    tokens = torch.cat(written, 1)
    batch.finish(tokens.flatten(0, 1).numpy())
    found = (torch.from_numpy(x).unflatten(0, (members, -1)) for x in (batch.lengths, batch.rewards > 0))
    return Answers(tokens, starts, *found)


def _reader(table: Tensor) -> Noise:
    """The numbers `table` [P, B, CONTEXT] by step."""
    return lambda steps: table.gather(2, steps.clamp(min=0).unsqueeze(-1)).squeeze(-1)


def given(task: Task, instances: Sequence[Any], texts: Sequence[Sequence[int]], members: int) -> Answers:
    """Answers `texts` (tokens, END included) to `instances`, the same for `members` members."""
    batch = TokenBatch(task, instances)
    tokens = batch.tokens.copy()
    for row, (start, own) in enumerate(zip(batch.starts, texts, strict=True)):
        tokens[row, start : start + len(own)] = own
    batch.finish(tokens)
    found = (tokens, batch.starts, batch.lengths, batch.rewards > 0)
    return Answers(*(torch.from_numpy(np.repeat(x[None], members, 0)) for x in found))


def log_probs(net: TokenPolicy, params: Params, answers: Answers) -> tuple[Tensor, Tensor, Tensor]:
    """Log-probabilities of all tokens [P, B, T, V] and of the chosen ones [P, B, T] in the answers, and the mask [P, B, T]."""
    places, real = answers.places()
    longest = int(answers.lengths.max())
    every = net.sequence_log_probs(params, answers.tokens[:, :, : max(1, longest - 1)], places.clamp(max=max(0, longest - 2)))
    chosen = answers.tokens.gather(2, places + 1)
    return every, every.gather(-1, chosen.unsqueeze(-1)).squeeze(-1), real
