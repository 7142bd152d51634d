"""The device of a run: its cores, its precision and the engine (algos/engines.py) that does updates on it."""

from __future__ import annotations

import os
import platform
import warnings
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from pathlib import Path
from typing import Any

import torch

from algos.base import Algo, Engine, MethodConfig
from algos.engines import Captured, Compiled, InBfloat16, WithFallback
from algos.errors import ConfigError
from bench.config.schema import Config
from bench.storage.identity import arithmetic
from bench.training.choice import choose
from envs.cores import available_cores

PRECISIONS = {"float32": "highest", "tf32": "high", "bf16": "medium"}
"""torch's names for matrix products on a GPU: in float32, of factors rounded to TF32, of factors rounded to bfloat16."""


def cores() -> int:
    """CPU cores of this process: OMP_NUM_THREADS, which launchers set for each of their jobs, else all cores that it may run on."""
    try:
        return max(1, int(float(os.environ["OMP_NUM_THREADS"])))  # a share of a core is one thread
    except (KeyError, ValueError):
        return available_cores()


def cpu_model() -> str:
    """The processor's name, with family and model where the system knows them: one name may stand for several processors."""
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
    except OSError:
        return platform.processor() or platform.machine()
    fields = {key.strip(): value.strip() for key, _, value in (line.partition(":") for line in lines) if value}
    name = fields.get("model name", platform.machine())
    return f"{name} (family {fields['cpu family']}, model {fields['model']})" if {"cpu family", "model"} <= set(fields) else name


def processor() -> str:
    """The processor and the widest instructions that torch uses on it: equal ones round alike."""
    return f"{cpu_model()}, {torch.backends.cpu.get_cpu_capability()}"


def device_of(name: str) -> torch.device:
    """The device of the setting `device=name`: auto, cpu, cuda or cuda:N. Raises ConfigError where torch finds no such GPU."""
    if name == "auto":
        name = "cuda" if torch.cuda.is_available() else "cpu"
    if name != "cpu" and not torch.cuda.is_available():
        raise ConfigError(f"device = {name}: this torch finds no GPU; use device=cpu")
    device = torch.device(name)
    if device.index is not None and device.index >= (count := torch.cuda.device_count()):
        raise ConfigError(f"device = {name}: this machine has {', '.join(f'cuda:{n}' for n in range(count))}")
    return device


def current_gpu(device: torch.device) -> AbstractContextManager[Any]:
    """A context in which `device` is the current GPU, where streams and CUDA graphs are made; without effect for a CPU."""
    return torch.cuda.device(device) if device.type == "cuda" and device.index is not None else nullcontext()


def use_gpu(device: torch.device) -> str:
    """Make `device` the GPU of this process and of those that it starts; returns its kind, "cpu" or "cuda".

    A started process sees that GPU alone.
    """
    if device.index is not None:
        visible = [name for name in os.environ.get("CUDA_VISIBLE_DEVICES", "").split(",") if name]
        os.environ["CUDA_VISIBLE_DEVICES"] = visible[device.index] if device.index < len(visible) else str(device.index)
        torch.cuda.set_device(device)
    return device.type


def set_products(kind: str, precision: str) -> None:
    """Set the precision of torch's matrix products. Always float32 on a CPU: torch's lower settings make CPUs without AMX slower."""
    torch.set_float32_matmul_precision(PRECISIONS[precision if kind == "cuda" else "float32"])


def matmul_precision() -> str:
    """The current setting of torch. Version 2.9 warns once of a new name for it, which earlier and later versions lack."""
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", "Please use the new API settings to control TF32", UserWarning)
        return torch.get_float32_matmul_precision()


@contextmanager
def precision_of(config: Config, device: torch.device, say: Callable[[str], Any]) -> Iterator[None]:
    """Set the precision of matrix products to `trainer.precision` for the block; sums and parameters stay in float32.

    On a CPU the population itself does so (`apply_engine`). Reports a fallback with `say`.
    """
    found, before = choose(config, device).precision, matmul_precision()
    if config.trainer.precision not in ("auto", found):
        say(f"trainer.precision = {config.trainer.precision}: this processor is no faster with it; falling back to {found}")
    set_products(device.type, found)
    try:
        yield
    finally:
        torch.set_float32_matmul_precision(before)


def arithmetic_of(device: torch.device, config: Config, method: MethodConfig | None = None) -> str:
    """`arithmetic` of a run of `config` on `device`, or of training `method` with its trainer's settings."""
    return arithmetic(device.type, choose(config, device, method).precision)


def _engine(name: str, algo: Algo) -> Engine:
    """The engine `name`, captured or compiled. On a GPU compiled updates are captured as well, so that the host does not hold them up."""
    if algo.device.type != "cuda":
        return Compiled(algo)
    return Captured(algo, update=Compiled(algo)) if name == "compiled" else Captured(algo)


def apply_engine(algo: Algo, config: Config, say: Callable[[str], Any], method: MethodConfig | None = None) -> None:
    """Set the engine and the precision of `algo`, whose settings are `method` (by default those of the run).

    An engine that does not work here falls back to eager updates; `say` reports why.
    """
    chosen, on_gpu = choose(config, algo.device, method), algo.device.type == "cuda"
    name = chosen.engine if config.trainer.engine == "auto" else config.trainer.engine
    if name == "eager":
        pass
    elif algo.shapes_vary:
        say(f"trainer.engine = {name}: batches of whole trajectories differ in shape; falling back to eager")
    elif name == "captured" and not on_gpu:
        say("trainer.engine = captured: CUDA graphs need a GPU; falling back to eager")
    else:
        algo.engine = WithFallback(algo, _engine(name, algo), name, say)
    if not on_gpu and chosen.precision == "bf16":
        algo.engine = InBfloat16(algo.engine)
