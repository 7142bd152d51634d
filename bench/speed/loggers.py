"""What logging costs a run: the same short run with none and with all loggers in turn, and the ratio of the medians of its times."""

from __future__ import annotations

import json
import os
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from statistics import median

import torch

from algos.methods.weighted_bc import Start, Training, WeightedBCConfig
from bench.config.schema import Config, EvalConfig, LoggerConfig, TrainerConfig
from bench.report.markdown import row_of
from bench.speed.options import LoggerOptions
from bench.training.run import train_run
from bench.training.shared import Shared

WHAT = {
    "none": LoggerConfig(),
    "jsonl": LoggerConfig(jsonl=True),
    "tensorboard": LoggerConfig(tensorboard=True),
    "wandb (offline)": LoggerConfig(wandb=True),
    "all three": LoggerConfig(jsonl=True, tensorboard=True, wandb=True),
}


def loggers(o: LoggerOptions, say: Callable[[str], None]) -> str:
    """The table. wandb writes to the disk here: its server would be measured otherwise, and training does not wait for it."""
    os.environ["WANDB_MODE"] = "offline"
    torch.set_num_threads(o.all_threads)
    for logger in WHAT.values():
        logger.check()
    times: dict[str, list[tuple[float, float, float]]] = {name: [] for name in WHAT}
    with tempfile.TemporaryDirectory() as scratch, Shared() as shared:
        for k in range(o.rounds + 1):  # the first is not kept: it starts wandb's service and loads libraries
            for name in reversed(WHAT) if k % 2 else WHAT:
                found = _times(o, WHAT[name], Path(scratch) / f"{k}-{name}", shared)
                if k:
                    times[name].append(found)
            say(f"round {k} of {o.rounds}" if k else "warm")
    medians = {name: [median(x) for x in zip(*found, strict=True)] for name, found in times.items()}
    base = medians["none"]
    rows = [
        [name, f"{inside:.2f} s", f"{inside / base[0]:.3f}", f"{cpu:.2f} s", f"{cpu / base[2]:.3f}", f"{whole - base[1]:+.2f} s"]
        for name, (inside, whole, cpu) in medians.items()
    ]
    head = ["logger", "training and evaluation", "ratio to none", "its thread's work", "ratio to none", "whole run, more than none"]
    what = f"BC, two members, {o.updates} updates, {o.updates // o.every} evaluations of one episode; medians of {o.rounds} rounds in turn"
    return "\n".join([what, "", row_of(head), row_of(["---", *["---:"] * 5]), *map(row_of, rows)])


def _times(o: LoggerOptions, logger: LoggerConfig, folder: Path, shared: Shared) -> tuple[float, float, float]:
    """Seconds of a run's training and evaluation, of all of it, and of a core's work on the thread that trains: others who use the
    machine make little difference to that."""
    algo = WeightedBCConfig("bc", Start.random, list(o.hidden), Training(o.updates, o.batch))
    config = Config(
        algo, o.dataset, seeds=[0, 1], eval=EvalConfig(o.every, 1, 1), results_dir=str(folder), device=o.device, logger=logger,
        trainer=TrainerConfig(precision=o.precision, engine=o.engine),
    )  # fmt: skip
    started, worked = time.perf_counter(), time.thread_time()
    left = train_run(config, shared)
    whole, cpu = time.perf_counter() - started, time.thread_time() - worked
    return float(json.loads((left.path / "run.json").read_text())["wall_time_s"]), whole, cpu
