"""How updates are done: by which engine (algos/engines.py), in which precision, in how many processes."""

from __future__ import annotations

import os
import sys
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import torch

from algos.base import Algo
from algos.engines import Captured, Compiled, InBfloat16, WithFallback
from algos.errors import ConfigError
from algos.networks.precision import has_bfloat16
from bench.config.schema import Config
from bench.training.member_groups import MemberGroups, places
from bench.training.parallel import MemberProcesses

PRECISIONS = {"float32": "highest", "tf32": "high", "bf16": "medium"}
"""By torch's names, which GPUs go by: products in float32; of factors rounded to TF32; to bfloat16."""


def cores() -> int:
    """CPU cores of this process: OMP_NUM_THREADS, which launchers set for each of their jobs, else all cores that it may run on."""
    try:
        return max(1, int(float(os.environ["OMP_NUM_THREADS"])))  # a share of a core is one thread
    except (KeyError, ValueError):
        return len(os.sched_getaffinity(0))


def device_of(name: str) -> torch.device:
    """The device of the setting `device=name`: auto, cpu or cuda. Raises ConfigError where torch finds no GPU."""
    if name == "auto":
        name = "cuda" if torch.cuda.is_available() else "cpu"
    if name == "cuda" and not torch.cuda.is_available():
        raise ConfigError("device = cuda: this torch finds no GPU; use device=cpu")
    return torch.device(name)


def precision_on(device: torch.device, precision: str) -> str:
    """What can be had of `precision` on this machine: CPUs know no TF32, and not all of them multiply bfloat16 faster."""
    if device.type == "cpu" and not (precision == "bf16" and has_bfloat16()):
        return "float32"
    return precision


def set_products(kind: str, precision: str) -> None:
    """Set how torch multiplies on a device of `kind`. On a CPU in float32: torch's setting for less makes one without AMX slower."""
    torch.set_float32_matmul_precision(PRECISIONS[precision if kind == "cuda" else "float32"])


def matmul_precision() -> str:
    """torch's present setting. Version 2.9 warns once that the setting has a new name, which earlier and later versions lack."""
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", "Please use the new API settings to control TF32", UserWarning)
        return torch.get_float32_matmul_precision()


@contextmanager
def precision_of(config: Config, device: torch.device, say: Callable[[str], Any]) -> Iterator[None]:
    """Multiply matrices on a GPU as `config.trainer.precision` says; sums, parameters and everything else stay in float32.

    On a CPU the population does so itself (`apply_engine`). Says why where a precision cannot be had.
    """
    found, before = precision_on(device, config.trainer.precision), matmul_precision()
    if found != config.trainer.precision:
        say(f"trainer.precision = {config.trainer.precision}: this processor is no faster with it; falling back to {found}")
    set_products(device.type, config.trainer.precision)
    try:
        yield
    finally:
        torch.set_float32_matmul_precision(before)


def arithmetic(kind: str, precision: str) -> str:
    """What a result depends on beside settings and data: the kind of device, and a precision that is not float32."""
    if precision == "float32":
        return kind
    return "cpu, hidden layers bf16" if kind == "cpu" else f"{kind} {precision}"


def arithmetic_of(device: torch.device, config: Config) -> str:
    """`arithmetic` of a run on this machine."""
    return arithmetic(device.type, precision_on(device, config.trainer.precision))


def apply_engine(algo: Algo, config: Config, say: Callable[[str], Any]) -> None:
    """Give `algo` the precision and the engine that `config` asks for; where an engine cannot be had, say why and do updates one operation
    at a time."""
    name, on_gpu = config.trainer.engine, algo.device.type == "cuda"
    if name == "auto":
        name = "captured" if on_gpu and not algo.shapes_vary else "eager"
    if name == "eager":
        pass
    elif algo.shapes_vary:
        say(f"trainer.engine = {name}: batches of whole trajectories differ in shape; falling back to eager")
    elif name == "captured" and not on_gpu:
        say("trainer.engine = captured: CUDA graphs need a GPU; falling back to eager")
    else:
        algo.engine = WithFallback(algo, Captured(algo) if name == "captured" else Compiled(algo), name, say)
    if not on_gpu and precision_on(algo.device, config.trainer.precision) == "bf16":
        algo.engine = InBfloat16(algo.engine)


def processes_for(config: Config, device: torch.device, members: int) -> int:
    """Over how many processes of one thread a population is dealt out: on a CPU one a core, where members suffice and forks are safe.

    With fewer members than half the cores all threads work on all members instead, unless `config.trainer.processes` says otherwise.
    """
    if device.type != "cpu" or config.trainer.engine == "captured" or not sys.platform.startswith("linux") or not hasattr(os, "fork"):
        return 1
    if config.trainer.processes is not None:
        return min(config.trainer.processes, members)
    return min(cores(), members) if cores() <= 2 * members else 1


def build_population(make: Callable[[slice], Algo], members: int, parts: int, processes: int) -> Algo:
    """The population of `members`, of which `make` makes any slice: in `parts` parts one after another, or else dealt out."""
    if parts > 1:
        return MemberGroups([make(own) for own in places(members, parts)])
    if processes > 1:
        return MemberProcesses([make(own) for own in places(members, processes)])
    return make(slice(0, members))
