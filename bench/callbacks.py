"""What happens at the end of a run or a sweep: the suite's tables are made anew and printed."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from hydra.experimental.callback import Callback
from omegaconf import DictConfig

from bench.leaderboard import rebuild


class Tables(Callback):
    """Rebuild the tables of the suite."""

    def on_run_end(self, config: DictConfig, **kwargs: Any) -> None:
        self._rebuild(config)

    def on_multirun_end(self, config: DictConfig, **kwargs: Any) -> None:
        self._rebuild(config)

    def _rebuild(self, config: DictConfig) -> None:
        folder = Path(config.results_dir) / config.suite
        print(rebuild(folder), end="")
        print(f"\nwritten to {folder}: table.md, leaderboard.csv, scores.csv")
