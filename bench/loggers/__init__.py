"""Logging back ends beside the run directory, one per file. They receive copies of curves; no result is ever read from them."""

from __future__ import annotations

from bench.config.extras import require_extra
from bench.config.schema import Config, LoggerConfig
from bench.loggers.base import Guarded, Logger, Several
from bench.storage.rundir import RunDir

__all__ = ["Logger", "check_loggers", "make_logger"]


def check_loggers(logger: LoggerConfig) -> None:
    """Raise RunError, with the command to install it, for a back end whose package is not installed."""
    for name in ("tensorboard", "wandb"):
        if getattr(logger, name):
            require_extra(f"logger={name}", name, name)


def make_logger(config: Config, run: RunDir) -> Logger:
    """The back ends that `logger=` turns on. Files are written at once; a server has its own thread, so training never waits for it."""
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
