"""The device's arithmetic limit: the rate at which it multiplies matrices in the precision asked for, and does nothing else."""

from __future__ import annotations

import torch

from bench.speed.workload import Work

SQUARE = {"cpu": 2048, "cuda": 8192}  # side of the large product: large enough that a larger one is no faster


def batched(members: int, batch: int, width: int, device: str, dtype: torch.dtype = torch.float32) -> tuple[Work, int]:
    """Products [P, B, W] x [P, W, W], a hidden layer of a population; an `update` is one of them. And its operations a member."""
    a, b = torch.rand(members, batch, width, device=device), torch.rand(members, width, width, device=device)
    return _products(a.to(dtype), b.to(dtype)), 2 * batch * width * width


def square(device: str, dtype: torch.dtype = torch.float32) -> tuple[Work, int]:
    """Products of two large square matrices, and the operations of one."""
    side = SQUARE[torch.device(device).type]
    a, b = torch.rand(1, side, side, device=device), torch.rand(1, side, side, device=device)
    return _products(a.to(dtype), b.to(dtype)), 2 * side**3


def _products(a: torch.Tensor, b: torch.Tensor) -> Work:
    out = torch.empty(len(a), a.shape[1], b.shape[2], device=a.device, dtype=a.dtype)

    def train(start: int, stop: int) -> None:
        for _ in range(start, stop):
            torch.bmm(a, b, out=out)

    return Work(train)
