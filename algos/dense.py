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


def forward(flat: Tensor, x: Tensor, sizes: Sizes) -> Tensor:
    """[P, B, in] -> [P, B, out]: linear layers with ReLU between them."""
    weights = layers(flat, sizes)
    for weight, bias in weights[:-1]:
        x = torch.baddbmm(bias, x, weight).relu()
    return torch.baddbmm(weights[-1][1], x, weights[-1][0])


AT_ONCE = 8 << 20  # bytes of a hidden layer: larger ones leave the cache, and memory of their size is given back and taken again


def dense(flat: Tensor, x: Tensor, sizes: Sizes) -> Tensor:
    """`forward` as one node of the graph; on a CPU as several, a few members each, where all together would be large."""
    size = max(1, AT_ONCE // max(1, x.shape[1] * max(sizes) * x.element_size()))
    if x.device.type != "cpu" or size >= len(x):
        return Dense.apply(flat, x, sizes)
    parts = zip(flat.split(size), x.split(size), strict=True)
    return torch.cat([Dense.apply(*part, sizes) for part in parts])


class Dense(torch.autograd.Function):
    """Dense.apply(flat, x, sizes) is forward(flat, x, sizes), with the same derivatives."""

    @staticmethod
    def forward(ctx: Any, flat: Tensor, x: Tensor, sizes: Sizes) -> Tensor:
        inputs, weights = [x], layers(flat, sizes)
        for weight, bias in weights[:-1]:
            inputs.append(torch.baddbmm(bias, inputs[-1], weight).relu_())
        ctx.sizes = sizes
        ctx.save_for_backward(flat, *inputs)
        return torch.baddbmm(weights[-1][1], inputs[-1], weights[-1][0])

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> tuple[Tensor | None, Tensor | None, None]:
        flat, *inputs = ctx.saved_tensors
        of_flat, of_x, _ = ctx.needs_input_grad
        if torch.is_grad_enabled():  # somebody differentiates the gradient: ordinary operations
            wanted = [t for t, wants in ((flat, of_flat), (inputs[0], of_x)) if wants]
            found = iter(torch.autograd.grad(forward(flat, inputs[0], ctx.sizes), wanted, grads, create_graph=True))
            return next(found) if of_flat else None, next(found) if of_x else None, None
        (grad,), weights = grads, layers(flat, ctx.sizes)
        flat_grad = torch.empty_like(flat) if of_flat else None
        pieces = [] if flat_grad is None else layers(flat_grad, ctx.sizes)
        for i in reversed(range(len(weights))):
            if flat_grad is not None:
                torch.bmm(inputs[i].transpose(1, 2), grad, out=pieces[i][0])
                torch.sum(grad, 1, keepdim=True, out=pieces[i][1])
            if i > 0 or of_x:
                grad = torch.bmm(grad, weights[i][0].transpose(1, 2))
            if i > 0:
                torch.ops.aten.threshold_backward.grad_input(grad, inputs[i], 0, grad_input=grad)
        others = _arrangement(ctx.sizes, flat.shape[1])[0][-1]
        if flat_grad is not None and others:
            flat_grad[:, -others:] = 0
        return flat_grad, grad if of_x else None, None
