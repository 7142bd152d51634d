"""A linear layer's three products for a population, each in the form that a CPU multiplies fastest.

Libraries for matrix products are made for square ones. Into a narrow layer, such as the last one of a critic or a policy, the transposed
product is several times as fast on some CPUs, and so is a sum of products into a single unit. On a GPU they are ordinary products.
"""

from __future__ import annotations

import torch
from torch import Tensor

NARROW = 16  # outputs up to which the transposed product is the faster one


def linear(x: Tensor, weight: Tensor, bias: Tensor, dtype: torch.dtype) -> Tensor:
    """x weight + bias, multiplied in `dtype`: [P, B, in], [P, in, out], [P, 1, out] -> [P, B, out]."""
    x, weight, bias = x.to(dtype), weight.to(dtype), bias.to(dtype)
    if not _narrow(weight):
        return torch.baddbmm(bias, x, weight)
    turned = weight.transpose(1, 2)
    if weight.shape[2] == 1:
        return torch.linalg.vecdot(x, turned).unsqueeze(2) + bias
    return torch.bmm(turned, x.transpose(1, 2)).transpose(1, 2) + bias


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
    turned = weight.to(grad.dtype).transpose(1, 2)
    return grad * turned if _narrow(weight) and weight.shape[2] == 1 else torch.bmm(grad, turned)


def _narrow(weight: Tensor) -> bool:
    return weight.shape[2] <= NARROW and weight.device.type == "cpu"
