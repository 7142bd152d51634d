"""A population's network as one node of the autograd graph, with matrix products in the form that a CPU computes fastest.

Autograd alone would join the gradient of a flat parameter tensor from a dozen small ones by a copy, and keep every hidden layer twice,
before and after its ReLU. Here products write into the flat gradient and ReLUs act in place.

CPU libraries are tuned for square products. Into a narrow layer, such as the last one of a critic or a policy, the transposed product is
several times as fast on some CPUs, if its small matrix has at least two rows that are contiguous. On a GPU all products are ordinary ones.
"""

from __future__ import annotations

from functools import cache
from itertools import pairwise
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

from algos.networks.precision import hidden_dtype, tracing

Sizes = tuple[int, ...]


def layers(flat: Tensor, sizes: Sizes) -> list[tuple[Tensor, Tensor]]:
    """(weight [P, in, out], bias [P, 1, out]) of every linear layer: views of `flat` [P, N], which begins with them in this order."""
    lengths, shapes = _arrangement(sizes, flat.shape[1])
    parts = torch.split_with_sizes(flat, lengths, 1)
    members = len(flat)
    return [(parts[2 * i].view(members, *shape), parts[2 * i + 1].unsqueeze(1)) for i, shape in enumerate(shapes)]


@cache
def _arrangement(sizes: Sizes, total: int) -> tuple[list[int], list[tuple[int, int]]]:
    """Sizes of the pieces of `total` parameters (weights and biases in turn, then the rest), and the shapes of the weights."""
    shapes = list(pairwise(sizes))
    lengths = [n for a, b in shapes for n in (a * b, b)]
    return [*lengths, total - sum(lengths)], shapes


def dtypes(hidden: torch.dtype, other: torch.dtype, count: int) -> list[torch.dtype]:
    """The dtype of each of `count` layers: `other` for the first and the last (algos/networks/precision.py), `hidden` between them."""
    return [hidden if 0 < i < count - 1 else other for i in range(count)]


def forward(flat: Tensor, x: Tensor, sizes: Sizes, hidden: torch.dtype) -> Tensor:
    """Linear layers with ReLU between them, the hidden ones multiplied in `hidden`: [P, B, in] -> [P, B, out]."""
    weights = layers(flat, sizes)
    for (weight, bias), dtype in zip(weights[:-1], dtypes(hidden, flat.dtype, len(weights)), strict=False):
        x = linear(x, weight, bias, dtype).relu()
    return linear(x, *weights[-1], flat.dtype)


AT_ONCE = 8 << 20  # bytes of a hidden layer; larger ones leave the cache, and the allocator returns them to the system


def dense(flat: Tensor, x: Tensor, sizes: Sizes) -> Tensor:
    """`forward` as one node of the graph, or on a CPU as several of a few members each if the hidden layers would be large."""
    hidden = hidden_dtype(x)
    size = max(1, AT_ONCE // max(1, x.shape[1] * max(sizes) * x.element_size()))
    if x.device.type != "cpu" or size >= len(x):
        return Dense.apply(flat, x, sizes, hidden)
    parts = zip(flat.split(size), x.split(size), strict=True)
    return torch.cat([Dense.apply(*part, sizes, hidden) for part in parts])


class Dense(torch.autograd.Function):
    """Dense.apply(flat, x, sizes, hidden) equals forward(flat, x, sizes, hidden) and has the same derivatives."""

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
        if torch.is_grad_enabled():  # a second derivative is asked for: use ordinary operations
            targets = [t for t, wants in ((flat, of_flat), (inputs[0], of_x)) if wants]
            found = iter(torch.autograd.grad(forward(flat, inputs[0], ctx.sizes, ctx.hidden), targets, grads, create_graph=True))
            return next(found) if of_flat else None, next(found) if of_x else None, None, None
        (grad,) = grads
        flat_grad = torch.empty_like(flat) if of_flat else None
        pieces = [] if flat_grad is None else layers(flat_grad, ctx.sizes)
        for i in reversed(range(len(weights))):
            exact, grad = grad, grad.to(inputs[i].dtype)
            if flat_grad is not None:
                weight_gradient(pieces[i][0], inputs[i], grad)
                torch.sum(exact if exact.dtype == flat.dtype else grad, 1, keepdim=True, dtype=flat.dtype, out=pieces[i][1])
            if i > 0 or of_x:
                grad = input_gradient(grad, weights[i])
            if i > 0:
                torch.ops.aten.threshold_backward.grad_input(grad, inputs[i], 0, grad_input=grad)
        others = _arrangement(ctx.sizes, flat.shape[1])[0][-1]
        if flat_grad is not None and others:
            flat_grad[:, -others:] = 0
        return flat_grad, grad if of_x else None, None, None


def _relu(x: Tensor, dtype: torch.dtype) -> Tensor:
    """ReLU of `x` in `dtype`; `x` may be overwritten. Computed in bfloat16 if `x` is, else before rounding: the faster order."""
    return x.to(dtype).relu_() if x.dtype == torch.bfloat16 else x.relu_().to(dtype)


# Products of one linear layer: forward, and its two gradients.

NARROW = 16  # outputs up to which the transposed product is faster
IN_ONE_PIECE = 8  # outputs up to which copying the small matrix pays


def linear(x: Tensor, weight: Tensor, bias: Tensor, dtype: torch.dtype) -> Tensor:
    """x weight + bias, multiplied in `dtype`: [P, B, in], [P, in, out], [P, 1, out] -> [P, B, out]."""
    x, weight, bias = x.to(dtype), weight.to(dtype), bias.to(dtype)
    if _narrow(weight):
        return _narrow_product(x, weight.transpose(1, 2)) + bias
    if dtype == torch.bfloat16 and not tracing():
        return torch.baddbmm(bias, x, weight)  # rounds the sum alone
    return torch.bmm(x, weight).add_(bias)


def _narrow_product(x: Tensor, transposed: Tensor) -> Tensor:
    """x transposed^T for few outputs: [P, B, in], [P, out, in] -> [P, B, out]."""
    outputs = transposed.shape[1]
    if outputs == 1 and tracing():  # a compiler fuses this form with the operations before it
        return torch.linalg.vecdot(x, transposed).unsqueeze(2)
    if outputs == 1:
        transposed = F.pad(transposed, (0, 0, 0, 1))
    elif outputs <= IN_ONE_PIECE:
        transposed = transposed.contiguous()
    return torch.bmm(transposed, x.transpose(1, 2))[:, :outputs].transpose(1, 2)


def weight_gradient(out: Tensor, x: Tensor, grad: Tensor) -> None:
    """Write x^T grad into `out` [P, in, out]: the layer's input is `x` [P, B, in], the gradient by its output is `grad` [P, B, out]."""
    if _narrow(out):
        out.copy_(torch.bmm(grad.transpose(1, 2), x).transpose(1, 2))
    elif grad.dtype != out.dtype:
        out.copy_(torch.bmm(x.transpose(1, 2), grad))
    else:
        torch.bmm(x.transpose(1, 2), grad, out=out)


def input_gradient(grad: Tensor, weight: Tensor) -> Tensor:
    """The gradient by the layer's input: grad weight^T [P, B, in]."""
    transposed = weight.to(grad.dtype).transpose(1, 2)
    return grad * transposed if _narrow(weight) and weight.shape[2] == 1 else torch.bmm(grad, transposed)


def _narrow(weight: Tensor) -> bool:
    return weight.shape[2] <= NARROW and weight.device.type == "cpu"
