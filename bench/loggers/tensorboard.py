"""TensorBoard's event files in the run directory: `tensorboard --logdir results/quick/runs` shows a suite."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from omegaconf import OmegaConf

from bench.config.redact import redact
from bench.config.schema import Config
from bench.loggers.base import flat_curves
from bench.storage.layout import Row


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
        writer.flush()  # before the checkpoint is saved: a resumed run has no gap
        self.last = update

    def _open(self, update: int) -> Any:
        """The writer; hides events of an earlier process from `update` on, which this one repeats."""
        if self.writer is None:
            from torch.utils.tensorboard import SummaryWriter

            self.writer = SummaryWriter(str(self.folder), purge_step=update)
            settings = redact(OmegaConf.to_yaml(OmegaConf.structured(self.config)))
            self.writer.add_text("config", "".join(f"    {line}\n" for line in settings.splitlines()), 0)  # indented: code in Markdown
        return self.writer

    def finish(self, summary: Row) -> None:
        if self.writer is None:
            return  # resumed after the last evaluation: an earlier process logged it
        for name, value in summary.items():
            self.writer.add_scalar(f"final/{name}", value, self.last)
        self.writer.close()
