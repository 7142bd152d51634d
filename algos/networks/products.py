"""A linear layer's three products for a population, each in the form that a CPU multiplies fastest.

Libraries for matrix products are made for square ones. Into a narrow layer, such as the last one of a critic or a policy, the transposed
product is several times as fast on some CPUs, if its small matrix has at least two rows, each in one piece. On a GPU they are ordinary
products.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor

from algos.networks.tracing import tracing

NARROW = 16  # outputs up to which the transposed product is the faster one
IN_ONE_PIECE = 8  # and up to which it is worth while to copy the small matrix


def linear(x: Tensor, weight: Tensor, bias: Tensor, dtype: torch.dtype) -> Tensor:
    """x weight + bias, multiplied in `dtype`: [P, B, in], [P, in, out], [P, 1, out] -> [P, B, out]."""
    x, weight, bias = x.to(dtype), weight.to(dtype), bias.to(dtype)
    if _narrow(weight):
        return _narrow_product(x, weight.transpose(1, 2)) + bias
    if dtype == torch.bfloat16 and not tracing():
        return torch.baddbmm(bias, x, weight)  # rounds the sum alone
    return torch.bmm(x, weight).add_(bias)


def _narrow_product(x: Tensor, transposed: Tensor) -> Tensor:
    """x turned^T, [P, B, in], [P, out, in] -> [P, B, out] for few outputs."""
    outputs = transposed.shape[1]
    if outputs == 1 and tracing():  # a compiler sums products where it does what comes before
        return torch.linalg.vecdot(x, transposed).unsqueeze(2)
    if outputs == 1:
        transposed = F.pad(transposed, (0, 0, 0, 1))
    elif outputs <= IN_ONE_PIECE:
        transposed = transposed.contiguous()
    return torch.bmm(transposed, x.transpose(1, 2))[:, :outputs].transpose(1, 2)


def weight_gradient(out: Tensor, x: Tensor, grad: Tensor) -> None:
    """Write x^T grad into `out` [P, in, out], from the layer's input [P, B, in] and the gradient [P, B, out] by what comes out."""
    if _narrow(out):
        out.copy_(torch.bmm(grad.transpose(1, 2), x).transpose(1, 2))
    elif grad.dtype != out.dtype:
        out.copy_(torch.bmm(x.transpose(1, 2), grad))
    else:
        torch.bmm(x.transpose(1, 2), grad, out=out)


def input_gradient(grad: Tensor, weight: Tensor) -> Tensor:
    """grad weight^T [P, B, in]."""
    transposed = weight.to(grad.dtype).transpose(1, 2)
    return grad * transposed if _narrow(weight) and weight.shape[2] == 1 else torch.bmm(grad, transposed)


def _narrow(weight: Tensor) -> bool:
    return weight.shape[2] <= NARROW and weight.device.type == "cpu"
