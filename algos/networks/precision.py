"""Matrix products of networks: hidden layers in bfloat16 where that is faster, ordinary operations while a compiler traces.

bfloat16 pays on CPUs with AVX512-BF16 or AMX. First and last layers, sums over a batch and parameters stay in float32, so inputs and
outputs of a network are not rounded. Only updates use it: policies act in float32, so scores do not depend on the machine that plays them.
On a GPU torch.set_float32_matmul_precision does this instead.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar

import torch
from torch import Tensor

_bfloat16: ContextVar[bool] = ContextVar("bfloat16", default=False)  # of this thread: another one may play policies meanwhile
_tracing = 0  # depth of nested `ordinary_operations`


@contextmanager
def hidden_in_bfloat16(on: bool = True) -> Iterator[None]:
    """Multiply hidden layers in bfloat16 inside the context; `on` False switches it off."""
    token = _bfloat16.set(on)
    try:
        yield
    finally:
        _bfloat16.reset(token)


def hidden_dtype(x: Tensor) -> torch.dtype:
    """The dtype in which a network with input `x` multiplies its hidden layers."""
    return torch.bfloat16 if _bfloat16.get() and x.device.type == "cpu" and x.dtype == torch.float32 else x.dtype


def has_bfloat16() -> bool:
    """True if this processor multiplies bfloat16 faster than float32."""
    return torch.cpu._is_avx512_bf16_supported() or torch.cpu._is_amx_tile_supported()


def tracing() -> bool:
    """True while an update is traced for a compiler."""
    return _tracing > 0


@contextmanager
def ordinary_operations() -> Iterator[None]:
    """Use ordinary operations inside the context, in which an update is traced: none depends on the value of a number."""
    global _tracing
    _tracing += 1
    try:
        yield
    finally:
        _tracing -= 1
