"""The tokens of a prepared data set as flat tensors, and log-probabilities of a model for all of them, in memory and beside the data.

Row r of the data set holds the tokens offsets[r] .. offsets[r + 1] - 1. A packed row holds several sequences.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from algos.errors import ConfigError
from algos.language import IGNORED, token_logprobs
from algos.members import misfit
from bench.errors import RunError, first_line
from bench.storage.tensors import DamagedError, pack, unpack
from envs.files import write_atomic

NAME = "logprobs"  # of the tensor in a file
COMPARED = 64  # entries of each parameter that identify a model


@dataclass(frozen=True)
class Tokens:
    """The tokens of a prepared data set (columns input_ids and labels, seq_lengths where packed): input_ids, labels, sequence [N]."""

    offsets: list[int]
    input_ids: Tensor
    labels: Tensor
    sequence: Tensor  # the number of each token's sequence, from 0, rising

    @classmethod
    def of(cls, dataset: Any) -> Tokens:
        """The tokens of `dataset`, a sequence of rows."""
        ids: list[int] = []
        labels: list[int] = []
        lengths: list[int] = []
        ends = [0]
        for row in dataset:
            ids += row["input_ids"]
            labels += row.get("labels", row["input_ids"])
            lengths += row.get("seq_lengths") or [len(row["input_ids"])]
            ends.append(len(ids))
        sequence = torch.repeat_interleave(torch.arange(len(lengths)), torch.tensor(lengths))
        return cls(ends, torch.tensor(ids), torch.tensor(labels), sequence)

    @property
    def digest(self) -> str:
        """SHA-256 of the tokens, their labels and their sequences."""
        sha = hashlib.sha256()
        for part in (self.input_ids, self.labels, self.sequence):
            sha.update(part.numpy().tobytes())
        return sha.hexdigest()

    def rows(self, values: Tensor, rows: Sequence[int], like: Tensor) -> Tensor:
        """`values` [N] of the rows `rows` in the layout of a collated tensor `like`: [B, T] padded on the right, or [1, T] end to end."""
        parts = [values[self.offsets[r] : self.offsets[r + 1]] for r in rows]
        if len(like) == 1:
            parts = [torch.cat(parts)]
        found = torch.zeros(like.shape, dtype=values.dtype)
        for row, part in zip(found, parts, strict=True):
            row[: len(part)] = part
        return found.to(like.device)


@torch.no_grad()
def logprobs_of_all(
    model: Any,
    dataset: Any,
    tokens: Tokens,
    collate: Callable[[list[Any]], dict[str, Any]],
    batch_size: int,
    context: Callable[[], AbstractContextManager[Any]],
) -> Tensor:
    """log pi(token | tokens before it) [N] in float32 under `model` without dropout; 0 where a token is no target.

    Raises RunError if `collate` does not pad on the right.
    """
    device, training = next(model.parameters()).device, model.training
    found = torch.zeros(len(tokens.labels))
    model.eval()
    try:
        for start in range(0, len(dataset), batch_size):
            rows = range(start, min(start + batch_size, len(dataset)))
            batch = {k: v.to(device) if isinstance(v, Tensor) else v for k, v in collate([dataset[r] for r in rows]).items()}
            labels = batch.pop("labels")
            ids = tokens.rows(tokens.input_ids, rows, labels)
            real = tokens.rows(torch.ones_like(tokens.labels), rows, labels) > 0
            if not torch.equal(torch.where(real, batch["input_ids"], 0), torch.where(real, ids, 0)):
                raise RunError("data_collator: its batches are not the rows of the data, padded on the right; use the trainer's own")
            with context():
                logits = model(**batch, use_cache=False).logits
            first, last = tokens.offsets[rows.start], tokens.offsets[rows.stop]
            found[first:last] = token_logprobs(logits, labels)[real].cpu()
    finally:
        model.train(training)
    return found


def model_digest(model: Any) -> str:
    """SHA-256 of names, shapes, types and the first entries of all parameters: other weights have another digest, on any device."""
    sha = hashlib.sha256()
    for name, value in model.named_parameters():
        sha.update(f"{name}{tuple(value.shape)}{value.dtype}".encode())
        sha.update(value.detach().flatten()[:COMPARED].float().cpu().numpy().tobytes())
    return sha.hexdigest()


def stored_logprobs(
    path: Path | None, identity: Mapping[str, str], count: int, compute: Callable[[], Tensor], write: bool = True
) -> Tensor:
    """The tensor [count] in `path` if it exists, else that of `compute`, written to `path` if `write`.

    Raises RunError if `path` holds no such tensor, or that of another model or of other data than `identity` says.
    """
    if path is None or not path.exists():
        found = compute()
        if path is not None and write:
            write_atomic(path, pack({NAME: found}, identity))
        return found
    try:
        tensors, known = unpack(path)
    except (DamagedError, OSError) as error:
        raise RunError(f"{path}: holds no log-probabilities ({first_line(error)}); remove it to compute them anew") from None
    if differing := [name for name in identity if known.get(name) != identity[name]]:
        raise RunError(f"{path}: its log-probabilities are of another {' and '.join(differing)}; remove it, or name another file")
    if fault := misfit(tensors, {NAME: torch.empty(count)}):
        raise RunError(f"{path}: holds no log-probabilities ({fault}); remove it to compute them anew")
    return tensors[NAME]


def check_targets(tokens: Tokens) -> None:
    """Raise ConfigError for data without a single target token."""
    if not (tokens.labels != IGNORED).any():
        raise ConfigError(f"train_dataset: all {len(tokens.labels)} labels are {IGNORED}; expected target tokens (a completion, or labels)")
