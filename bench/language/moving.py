"""A moving average of a model's parameters: the distribution q that follows the policy, as in control (algos/importance.py)."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor

from algos.members import misfit
from bench.storage.tensors import DamagedError


class MovingAverage:
    """The average q of the trainable parameters of `model`, in float32: q <- (1 - rate) q + rate theta at every `follow`.

    The average begins with the parameters at construction. Parameters that are not trained, such as those below an adapter, are shared with
    the model.
    """

    def __init__(self, model: Any, rate: float) -> None:
        self.rate = rate
        self.parameters = {name: p for name, p in model.named_parameters() if p.requires_grad}
        self.values = {name: p.detach().float().clone() for name, p in self.parameters.items()}

    @torch.no_grad()
    def follow(self) -> None:
        """Move a step towards the present parameters."""
        for name, value in self.values.items():
            value.lerp_(self.parameters[name].float(), self.rate)

    @contextmanager
    def used(self) -> Iterator[None]:
        """Give the model the averages within the block, and its own parameters back at the end, to the bit."""
        own = {name: p.data for name, p in self.parameters.items()}
        try:
            for name, p in self.parameters.items():
                p.data = self.values[name].to(p.dtype)
            yield
        finally:
            for name, p in self.parameters.items():
                p.data = own[name]

    def load(self, values: Mapping[str, Tensor]) -> None:
        """Continue from `values`, those of an earlier average of the same parameters. Raises DamagedError for others."""
        if fault := misfit(values, self.values):
            raise DamagedError(fault)
        for name, value in self.values.items():
            value.copy_(values[name])
