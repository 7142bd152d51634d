"""Multilayer perceptrons for a population: the first dimension of every parameter, input and output is the member."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property

import torch
import torch.nn.functional as F
from torch import Tensor

from algos.networks.fast_mlp import dense, dtypes, linear
from algos.networks.precision import hidden_dtype, tracing

Params = Mapping[str, Tensor]
"""Named parameters, each [P, ...]."""


@dataclass(frozen=True)
class Layout:
    """Names and shapes of parameters in one flat tensor [P, N], so that an optimiser step is a few operations on one tensor."""

    shapes: tuple[tuple[str, tuple[int, ...]], ...]

    @property
    def size(self) -> int:
        """N, parameters a member."""
        return sum(math.prod(shape) for _, shape in self.shapes)

    def views(self, flat: Tensor) -> Views:
        """Views [P, *shape] of `flat` [P, N]."""
        return Views(self, flat)

    def flatten(self, params: Params) -> Tensor:
        """One tensor [P, N] of named parameters (a copy)."""
        return torch.cat([params[name].reshape(len(params[name]), -1) for name, _ in self.shapes], dim=1)


class Views(Mapping[str, Tensor]):
    """Named parameters [P, *shape] as views of `flat` [P, N], made at first use by one split, whose gradient is one concatenation."""

    def __init__(self, layout: Layout, flat: Tensor) -> None:
        self.layout, self.flat = layout, flat

    @cached_property
    def _pieces(self) -> dict[str, Tensor]:
        shapes = self.layout.shapes
        parts = torch.split_with_sizes(self.flat, [math.prod(shape) for _, shape in shapes], 1)
        return {name: part.unflatten(1, shape) for part, (name, shape) in zip(parts, shapes, strict=True)}

    def __getitem__(self, name: str) -> Tensor:
        return self._pieces[name]

    def __iter__(self) -> Iterator[str]:
        return (name for name, _ in self.layout.shapes)

    def __len__(self) -> int:
        return len(self.layout.shapes)


@dataclass(frozen=True)
class MLP:
    """Linear layers with ReLU between them, and LayerNorm after each ReLU if `layer_norm`; `sizes` are the widths from input to output."""

    sizes: tuple[int, ...]
    layer_norm: bool = False

    @property
    def shapes(self) -> tuple[tuple[str, tuple[int, ...]], ...]:
        pairs = enumerate(zip(self.sizes[:-1], self.sizes[1:], strict=True))
        linear = tuple((f"{i}.{kind}", shape) for i, (a, b) in pairs for kind, shape in (("weight", (a, b)), ("bias", (b,))))
        norms = enumerate(self.sizes[1:-1] if self.layer_norm else ())
        return linear + tuple((f"{i}.{kind}", (size,)) for i, size in norms for kind in ("norm_scale", "norm_shift"))

    def init(self, generators: Sequence[torch.Generator]) -> dict[str, Tensor]:
        """Initial parameters, uniform in +-1/sqrt(fan-in) as PyTorch's linear layers; member k is drawn from generators[k] alone."""
        fan_in = {f"{i}": size for i, size in enumerate(self.sizes[:-1])}
        members = len(generators)
        return {
            name: torch.stack([(2 * torch.rand(shape, generator=g) - 1) / math.sqrt(fan_in[name.split(".")[0]]) for g in generators])
            if "norm" not in name
            else torch.full((members, *shape), float(name.endswith("scale")))
            for name, shape in self.shapes
        }

    def __call__(self, params: Params, x: Tensor) -> Tensor:
        """The outputs: [P, B, in] -> [P, B, out].

        If `params` are views of a flat tensor, the tensor must begin with the parameters of this network.
        """
        if isinstance(params, Views) and not self.layer_norm and not tracing():
            return dense(params.flat, x, self.sizes)
        last = len(self.sizes) - 2
        for i, dtype in enumerate(dtypes(hidden_dtype(x), x.dtype, last + 1)):
            x = linear(x, params[f"{i}.weight"], params[f"{i}.bias"].unsqueeze(1), dtype)
            if i < last:
                x = x.relu()
                if self.layer_norm:
                    x = F.layer_norm(x, x.shape[-1:]) * params[f"{i}.norm_scale"].unsqueeze(1) + params[f"{i}.norm_shift"].unsqueeze(1)
        return x
