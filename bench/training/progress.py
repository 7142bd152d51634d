"""Progress of training on standard error: a line per evaluation, and a bar on a terminal."""

from __future__ import annotations

import sys
import time
from datetime import timedelta
from types import TracebackType

from rich.console import Console
from rich.progress import BarColumn, Progress, ProgressColumn, Task, TextColumn, TimeRemainingColumn
from rich.text import Text

from bench.config.redact import redact


class JobCounter:
    """Numbers the jobs of a sweep of `total` jobs."""

    def __init__(self, total: int) -> None:
        self.total, self.started = total, 0

    def label(self, text: str, jobs: int = 1) -> str:
        """`text` with the numbers of the next `jobs` jobs: "[3/8] text", "[3-6/8] text"."""
        first, self.started = self.started + 1, self.started + jobs
        return f"[{first if jobs == 1 else f'{first}-{self.started}'}/{self.total}] {text}"


class Clock(ProgressColumn):
    """The time since the bar was made, over all its stages. (Rich's own column stops when a stage is complete.)"""

    def __init__(self) -> None:
        super().__init__()
        self.started = time.monotonic()

    def render(self, task: Task) -> Text:
        return Text(str(timedelta(seconds=int(time.monotonic() - self.started))), style="progress.elapsed")


class Reporter:
    """The progress of one population, on stderr. Use as a context manager. noted: notes that were printed before."""

    def __init__(self, label: str, noted: set[str] | None = None) -> None:
        self.label, self.noted = label, set() if noted is None else noted
        self.console = Console(stderr=True, highlight=False, markup=False, soft_wrap=True)
        columns = (
            TextColumn("{task.description}", markup=False),
            BarColumn(20),
            TextColumn("{task.completed:.0f}/{task.total:.0f} updates", markup=False),
            Clock(),
            TextColumn("left", markup=False),
            TimeRemainingColumn(),
            TextColumn("{task.fields[note]}", markup=False),
        )
        self.bar = Progress(*columns, console=self.console, transient=True, disable=not self.console.is_terminal)

    def __enter__(self) -> Reporter:
        self.bar.start()
        self.task = self.bar.add_task(self.label, total=1, note="loading data")
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        if self.console.is_terminal:  # a disabled bar of Rich 13 ends with an empty line
            self.bar.stop()

    def stage(self, name: str, updates: int, done: int = 0) -> None:
        """Begin a stage of `updates` updates, of which `done` are done."""
        self.bar.reset(self.task, total=updates, completed=done, note=name)  # forgets the speed of the stage before
        if not self.console.is_terminal:
            self.say(f"{self.label}: {name}, {updates} updates")

    def update(self, done: int, note: str) -> None:
        """Move the bar to `done` updates."""
        self.bar.update(self.task, completed=done, note=note)

    def say(self, line: str) -> None:
        """Print a line above the bar."""
        self.console.print(redact(line))
        sys.stderr.flush()

    def note(self, line: str) -> None:
        """Print a line above the bar, unless it was printed before."""
        if line not in self.noted:
            self.noted.add(line)
            self.say(line)
