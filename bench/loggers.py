"""Logging back ends beside the run directory. They receive copies; no result is ever read from them."""

from __future__ import annotations

import os
import sys
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any, Protocol

from bench.config import Config
from bench.rundir import Row, RunDir


class Logger(Protocol):
    """Where curves and summaries go."""

    def log(self, update: int, rows: Sequence[Row]) -> None:
        """One row a seed: seed, update and metrics."""

    def finish(self, summary: Row) -> None: ...


class NoLogger:
    """The run directory is enough."""

    def log(self, update: int, rows: Sequence[Row]) -> None: ...

    def finish(self, summary: Row) -> None: ...


class WandbLogger:
    """Weights & Biases, offline where there is no account. Whatever fails there is said once and stops nothing."""

    def __init__(self, config: Config, folder: Path, name: str, run_id: str) -> None:
        self.run: Any = None
        try:
            import wandb

            online = "WANDB_API_KEY" in os.environ or (Path.home() / ".netrc").exists()
            mode: Any = os.environ.get("WANDB_MODE", "online" if online else "offline")
            self.run = wandb.init(
                project=config.logger.project, entity=config.logger.entity, dir=str(folder), name=name, id=run_id, resume="allow",
                group=f"{config.suite}/{config.dataset}", tags=[config.suite, config.dataset.replace("/", "-"), config.algo.name],
                config=asdict(config), mode=mode, settings=wandb.Settings(console="off", silent=True, init_timeout=30),
            )  # fmt: skip
        except Exception as error:
            self._give_up(error)

    def _give_up(self, error: Exception) -> None:
        print(f"wandb: {str(error).splitlines()[0] if str(error) else type(error).__name__}; going on without it", file=sys.stderr)
        self.run = None

    def log(self, update: int, rows: Sequence[Row]) -> None:
        if self.run is None:
            return
        try:
            keys = [k for k in rows[0] if k not in ("seed", "update")]
            flat = {f"seed_{row['seed']}/{k}": row[k] for row in rows for k in keys}
            means = {k: sum(row[k] for row in rows) / len(rows) for k in keys}
            self.run.log(flat | means, step=update)
        except Exception as error:
            self._give_up(error)

    def finish(self, summary: Row) -> None:
        if self.run is None:
            return
        try:
            self.run.summary.update(summary)
            self.run.finish()
        except Exception as error:
            self._give_up(error)


def make_logger(config: Config, run: RunDir) -> Logger:
    """The logger that `logger=` names."""
    if config.logger.name == "wandb":
        return WandbLogger(config, run.path, f"{config.algo.name} {config.dataset}", run.hash)
    return NoLogger()
