"""The machine of a measurement, and the load of other processes on it."""

from __future__ import annotations

import os
import time
from pathlib import Path

import torch

from bench.training.device import cpu_model
from envs.cores import available_cores


def describe(device: str, threads: int) -> str:
    """The machine in a line: GPU, processor, cores, threads, torch, load average."""
    load = ", ".join(f"{x:.2f}" for x in os.getloadavg())
    gpu = "" if device == "cpu" else f"{device_name(device)}; "
    return f"{gpu}{cpu_model()}, cores: {available_cores()}, threads: {threads}, torch {torch.__version__}, load average {load}"


def device_name(device: str) -> str:
    return "cpu" if device == "cpu" else torch.cuda.get_device_name()


def others_busy(seconds: float = 0.5) -> float:
    """Share of the cores that is busy while this process sleeps; NaN where the system does not tell."""
    try:
        before = _ticks()
        time.sleep(seconds)
        after = _ticks()
    except OSError:
        return float("nan")
    return (after[0] - before[0]) / max(1, after[1] - before[1])


def _ticks() -> tuple[int, int]:
    """(busy, all) ticks of all cores since the machine started."""
    ticks = [int(x) for x in Path("/proc/stat").read_text().split("\n", 1)[0].split()[1:9]]
    return sum(ticks) - ticks[3] - ticks[4], sum(ticks)
