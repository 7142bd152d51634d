"""How updates are done: which engine (algos/engines.py), and in which precision matrices are multiplied."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import torch

from algos.base import Algo
from algos.engines import Captured, Compiled, WithFallback
from bench.config import Config

PRECISIONS = {"float32": "highest", "tf32": "high", "bf16": "medium"}
"""By torch's names: products in float32; of factors rounded to TF32 (on GPUs that have it); to bfloat16 (GPUs, and CPUs with AMX)."""


@contextmanager
def precision_of(config: Config) -> Iterator[None]:
    """Multiply matrices as `config.precision` says; sums, parameters and everything else stay in float32."""
    before = torch.get_float32_matmul_precision()
    torch.set_float32_matmul_precision(PRECISIONS[config.precision])
    try:
        yield
    finally:
        torch.set_float32_matmul_precision(before)


def arithmetic(device: torch.device, config: Config) -> str:
    """What a result depends on beside settings and data: the kind of device, and a precision that is not float32."""
    return device.type if config.precision == "float32" else f"{device.type} {config.precision}"


def set_engine(algo: Algo, config: Config, say: Callable[[str], Any]) -> None:
    """Give `algo` the engine that `config.engine` asks for; where it cannot be had, say why and do updates one operation at a time."""
    name, on_gpu = config.engine, algo.device.type == "cuda"
    if name == "auto":
        name = "captured" if on_gpu and not algo.shapes_vary else "eager"
    if name == "eager":
        return
    if algo.shapes_vary:
        say(f"engine = {name}: batches of whole trajectories differ in shape; going on with engine=eager")
    elif name == "captured" and not on_gpu:
        say("engine = captured: CUDA graphs need a GPU; going on with engine=eager")
    else:
        algo.engine = WithFallback(algo, Captured(algo) if name == "captured" else Compiled(algo), name, say)
