"""Logging back ends beside the run directory, one a file. They receive copies; no result is ever read from them."""

from __future__ import annotations

from bench.config.schema import Config
from bench.loggers.base import Guarded, Logger, Several
from bench.storage.rundir import RunDir

__all__ = ["Logger", "make_logger"]


def make_logger(config: Config, run: RunDir) -> Logger:
    """The back ends that `logger=` turns on. Files are written at once; a server has a thread of its own, and training never waits."""
    backends: list[Logger] = []
    if config.logger.jsonl:
        from bench.loggers.jsonl import Jsonl

        backends.append(Guarded("jsonl", lambda: Jsonl(run.path / "log.jsonl")))
    if config.logger.tensorboard:
        from bench.loggers.tensorboard import TensorBoard

        backends.append(Guarded("tensorboard", lambda: TensorBoard(config, run.path / "tensorboard")))
    if config.logger.wandb:
        from bench.loggers.threaded import Threaded
        from bench.loggers.wandb import Wandb

        backends.append(Threaded("wandb", lambda: Wandb(config, run.path, run.hash)))
    return Several(backends)
