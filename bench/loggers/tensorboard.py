"""TensorBoard's event files in <run>/tensorboard: `tensorboard --logdir results/quick/runs` shows a suite."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from omegaconf import OmegaConf

from bench.config.redact import redact
from bench.config.schema import Config
from bench.loggers.curves import flat_curves
from bench.storage.rundir import Row


class TensorBoard:
    """Curves as scalars, the settings as text, the summary as scalars at the last update."""

    def __init__(self, config: Config, folder: Path) -> None:
        self.config, self.folder = config, folder
        self.writer: Any = None
        self.last = 0

    def log(self, update: int, rows: Sequence[Row]) -> None:
        writer = self._open(update)
        for name, value in flat_curves(rows).items():
            writer.add_scalar(name, value, update)
        writer.flush()  # before the checkpoint: a resumed run has no gap
        self.last = update

    def _open(self, update: int) -> Any:
        """The writer; events from `update` on that an earlier process left are hidden, for they come again."""
        if self.writer is None:
            from torch.utils.tensorboard import SummaryWriter

            self.writer = SummaryWriter(str(self.folder), purge_step=update)
            settings = redact(OmegaConf.to_yaml(OmegaConf.structured(self.config)))
            self.writer.add_text("config", "".join(f"    {line}\n" for line in settings.splitlines()), 0)  # Markdown for code
        return self.writer

    def finish(self, summary: Row) -> None:
        if self.writer is None:
            return  # every row was logged before the resume
        for name, value in summary.items():
            self.writer.add_scalar(f"final/{name}", value, self.last)
        self.writer.close()
