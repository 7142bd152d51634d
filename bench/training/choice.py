"""The engine and the precision of a run whose configuration leaves them to the suite (`auto`).

The choice is a function of the method's settings, the kind of device and the processor's instructions alone. It depends on no timing, no
load and no number of members: a run that is resumed or trained beside others uses what it used before.

On a CPU a long run is compiled and multiplies its hidden layers in bfloat16 if the processor is built for that. Compilation takes about a
minute of a core. With batches of 256 and two layers of 256, a float32 update takes 2 to 3 ms in methods that learn values and 0.7 to 1.5 ms
in behaviour cloning, and both together halve that (docs/speed.md): LONG updates repay the compilation once or several times over. Without
bfloat16 a run stays eager, because a compiled update is hardly faster in float32 on some processors.
"""

from __future__ import annotations

import os
import shutil
from collections.abc import Sequence
from typing import NamedTuple

import torch

from algos.base import MethodConfig
from algos.networks.precision import has_bfloat16
from bench.config.schema import Config

LONG = 100_000  # updates from which on a compilation pays
SMALLEST = 128  # width of every hidden layer, and batch, from which on bfloat16 pays


class Choice(NamedTuple):
    """The engine and precision of a run. reason: why, of a long run with a setting left to the suite; empty for others."""

    engine: str
    precision: str
    reason: str = ""

    def line(self) -> str | None:
        """A line for the user; None where there was nothing to weigh."""
        return f"engine {self.engine}, precision {self.precision}: {self.reason}" if self.reason else None


def choose(config: Config, device: torch.device, algo: MethodConfig | None = None) -> Choice:
    """The engine and precision of the run of `config`, or of training `algo` with its trainer's settings (pi_ref)."""
    asked, method = config.trainer, algo or config.algo
    if device.type != "cpu":
        engine = "captured" if asked.engine == "auto" else asked.engine
        return Choice("eager" if method.shapes_vary else engine, "float32" if asked.precision == "auto" else asked.precision)
    long, fast = is_long(method), has_bfloat16()
    wanted = asked.precision == "bf16" or (asked.precision == "auto" and long)
    precision = precision_on(device, "bf16" if wanted else "float32")
    pays = long and precision == "bf16" and has_compiler()
    engine = asked.engine if asked.engine != "auto" else "compiled" if pays else "eager"
    engine = "eager" if method.shapes_vary or engine == "captured" else engine  # CUDA graphs need a GPU
    left = "auto" in (asked.engine, asked.precision)
    return Choice(engine, precision, _reason(method.updates, fast) if long and left else "")


def precision_on(device: torch.device, precision: str) -> str:
    """The precision that a device has of `precision`: float32 on a CPU, except for bfloat16 where the CPU gains from it."""
    if device.type == "cpu" and not (precision == "bf16" and has_bfloat16()):
        return "float32"
    return precision


def _reason(updates: int, fast: bool) -> str:
    """The facts that decide for a long run."""
    if not fast:
        return "this processor is no faster with bfloat16"
    if not has_compiler():
        return "this processor is faster with bfloat16; no C++ compiler was found"
    return f"{updates:,} updates repay a compilation of about a minute, and this processor is faster with bfloat16"


def is_long(method: MethodConfig) -> bool:
    """True if the updates are so many, and so large, that compilation and bfloat16 pay."""
    return not method.shapes_vary and method.updates >= LONG and _is_large(method.batch_size, method.hidden)


def precision_of_long(device: torch.device, batch: int, hidden: Sequence[int]) -> str:
    """The precision of a long run with such batches and hidden layers, if it is left to the suite."""
    return precision_on(device, "bf16") if device.type == "cpu" and _is_large(batch, hidden) else "float32"


def _is_large(batch: int, hidden: Sequence[int]) -> bool:
    """True if products are large enough for bfloat16 to be faster."""
    return min(batch, *hidden) >= SMALLEST


def has_compiler() -> bool:
    """True if a C++ compiler is found where torch.compile looks for one."""
    return any(shutil.which(name) for name in (os.environ.get("CXX"), "g++", "clang++", "c++") if name)
