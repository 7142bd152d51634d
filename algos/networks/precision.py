"""Hidden layers multiplied in bfloat16, on processors that do so faster (with AVX512-BF16 or AMX).

First and last layers, sums over a batch, parameters and everything else stay in float32: what goes in and what comes out is not rounded.
For updates alone; policies act in float32, so that a run's scores do not depend on where they are played. On GPUs torch's own setting
(`torch.set_float32_matmul_precision`) does it.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar

import torch
from torch import Tensor

_lowered: ContextVar[bool] = ContextVar("lowered", default=False)  # of this thread: others may play policies meanwhile


@contextmanager
def hidden_in_bfloat16(wanted: bool = True) -> Iterator[None]:
    """Multiply hidden layers in bfloat16 within, or not."""
    token = _lowered.set(wanted)
    try:
        yield
    finally:
        _lowered.reset(token)


def hidden_dtype(x: Tensor) -> torch.dtype:
    """In what a network with input `x` multiplies its hidden layers."""
    return torch.bfloat16 if _lowered.get() and x.device.type == "cpu" and x.dtype == torch.float32 else x.dtype


def has_bfloat16() -> bool:
    """Whether this processor multiplies bfloat16 faster than float32."""
    return torch.cpu._is_avx512_bf16_supported() or torch.cpu._is_amx_tile_supported()
