"""A population's network as one node of the autograd graph, whose gradient is written where it is needed.

Left to autograd, the derivative by one flat tensor of all parameters is a dozen small tensors joined by a copy, and every hidden layer is
kept twice, before and after its ReLU. Here the matrix products write into the flat gradient and the ReLUs act in place.
"""

from __future__ import annotations

from functools import cache
from itertools import pairwise
from typing import Any

import torch
from torch import Tensor

from algos.networks.precision import hidden_dtype
from algos.networks.products import input_gradient, linear, weight_gradient

Sizes = tuple[int, ...]


def layers(flat: Tensor, sizes: Sizes) -> list[tuple[Tensor, Tensor]]:
    """(weight [P, in, out], bias [P, 1, out]) of every linear layer: views of `flat` [P, N], which begins with them in this order."""
    lengths, shapes = _arrangement(sizes, flat.shape[1])
    parts = torch.split_with_sizes(flat, lengths, 1)
    members = len(flat)
    return [(parts[2 * i].view(members, *shape), parts[2 * i + 1].unsqueeze(1)) for i, shape in enumerate(shapes)]


@cache
def _arrangement(sizes: Sizes, total: int) -> tuple[list[int], list[tuple[int, int]]]:
    """Lengths of the pieces of `total` parameters, what follows the layers last, and the weights' shapes."""
    shapes = list(pairwise(sizes))
    lengths = [n for a, b in shapes for n in (a * b, b)]
    return [*lengths, total - sum(lengths)], shapes


def dtypes(hidden: torch.dtype, other: torch.dtype, count: int) -> list[torch.dtype]:
    """In what each of `count` layers is multiplied: the first and the last in `other` (algos/networks/precision.py says why)."""
    return [hidden if 0 < i < count - 1 else other for i in range(count)]


def forward(flat: Tensor, x: Tensor, sizes: Sizes, hidden: torch.dtype) -> Tensor:
    """[P, B, in] -> [P, B, out]: linear layers with ReLU between them, the hidden ones multiplied in `hidden`."""
    weights = layers(flat, sizes)
    for (weight, bias), dtype in zip(weights[:-1], dtypes(hidden, flat.dtype, len(weights)), strict=False):
        x = linear(x, weight, bias, dtype).relu()
    return linear(x, *weights[-1], flat.dtype)


AT_ONCE = 8 << 20  # bytes of a hidden layer: larger ones leave the cache, and memory of their size is given back and taken again


def dense(flat: Tensor, x: Tensor, sizes: Sizes) -> Tensor:
    """`forward` as one node of the graph; on a CPU as several, a few members each, where all together would be large."""
    hidden = hidden_dtype(x)
    size = max(1, AT_ONCE // max(1, x.shape[1] * max(sizes) * x.element_size()))
    if x.device.type != "cpu" or size >= len(x):
        return Dense.apply(flat, x, sizes, hidden)
    parts = zip(flat.split(size), x.split(size), strict=True)
    return torch.cat([Dense.apply(*part, sizes, hidden) for part in parts])


class Dense(torch.autograd.Function):
    """Dense.apply(flat, x, sizes, hidden) is forward(flat, x, sizes, hidden), with the same derivatives."""

    @staticmethod
    def forward(ctx: Any, flat: Tensor, x: Tensor, sizes: Sizes, hidden: torch.dtype) -> Tensor:
        found = layers(flat, sizes)
        inputs: list[Tensor] = []
        weights: list[Tensor] = []
        for (weight, bias), dtype in zip(found, dtypes(hidden, flat.dtype, len(found)), strict=True):
            inputs.append(x if not inputs else _relu(x, dtype))
            weights.append(weight.to(dtype))
            x = linear(inputs[-1], weights[-1], bias, dtype)
        ctx.sizes, ctx.hidden = sizes, hidden
        ctx.save_for_backward(flat, *inputs, *weights)
        return x

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> tuple[Tensor | None, Tensor | None, None, None]:
        flat, *saved = ctx.saved_tensors
        inputs, weights = saved[: len(saved) // 2], saved[len(saved) // 2 :]
        of_flat, of_x, *_ = ctx.needs_input_grad
        if torch.is_grad_enabled():  # somebody differentiates the gradient: ordinary operations
            wanted = [t for t, wants in ((flat, of_flat), (inputs[0], of_x)) if wants]
            found = iter(torch.autograd.grad(forward(flat, inputs[0], ctx.sizes, ctx.hidden), wanted, grads, create_graph=True))
            return next(found) if of_flat else None, next(found) if of_x else None, None, None
        (grad,) = grads
        flat_grad = torch.empty_like(flat) if of_flat else None
        pieces = [] if flat_grad is None else layers(flat_grad, ctx.sizes)
        for i in reversed(range(len(weights))):
            came, grad = grad, grad.to(inputs[i].dtype)
            if flat_grad is not None:
                weight_gradient(pieces[i][0], inputs[i], grad)
                torch.sum(came if came.dtype == flat.dtype else grad, 1, keepdim=True, dtype=flat.dtype, out=pieces[i][1])
            if i > 0 or of_x:
                grad = input_gradient(grad, weights[i])
            if i > 0:
                torch.ops.aten.threshold_backward.grad_input(grad, inputs[i], 0, grad_input=grad)
        others = _arrangement(ctx.sizes, flat.shape[1])[0][-1]
        if flat_grad is not None and others:
            flat_grad[:, -others:] = 0
        return flat_grad, grad if of_x else None, None, None


def _relu(x: Tensor, dtype: torch.dtype) -> Tensor:
    """ReLU of `x`, which may be overwritten, in `dtype`. Done in the wider of the two, where it is faster."""
    return x.to(dtype).relu_() if x.dtype == torch.bfloat16 else x.relu_().to(dtype)
