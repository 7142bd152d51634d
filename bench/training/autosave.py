"""When to save between two evaluations, and how much to train before looking whether to."""

from __future__ import annotations

import time

CHUNK = 50  # updates between two safe points, where the progress bar moves and signals are heard; fewer where they are slow
PATIENCE = 2.0  # seconds between them, at most


class Autosave:
    """Every `minutes`, by a clock that nobody sets."""

    def __init__(self, minutes: float) -> None:
        self.seconds = 60 * minutes
        self.restart()

    def restart(self) -> None:
        """Something was saved."""
        self.saved = time.monotonic()

    @property
    def due(self) -> bool:
        return time.monotonic() - self.saved >= self.seconds


class ChunkSize:
    """How many updates to do at once: results do not depend on it, but a signal waits that long."""

    def __init__(self) -> None:
        self.updates = 1

    def took(self, seconds: float) -> None:
        """The last stride's time."""
        self.updates = max(1, min(CHUNK, 2 * self.updates if seconds < PATIENCE / 2 else int(self.updates * PATIENCE / seconds)))
