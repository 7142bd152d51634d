"""What a logging back end is, several of them as one, and one whose failures stop nothing."""

from __future__ import annotations

import sys
from collections.abc import Callable, Sequence
from typing import Protocol

from bench.config.redact import redact
from bench.errors import first_line
from bench.storage.rundir import Row


class Logger(Protocol):
    """Where curves and summaries go. Called at evaluation stops only."""

    def log(self, update: int, rows: Sequence[Row]) -> None:
        """One row a seed: seed, update and metrics. After a resume the first call may repeat an update that was logged before the kill."""

    def finish(self, summary: Row) -> None:
        """The run directory is complete; `summary` is what the last evaluation gave."""


class Several:
    """Back ends as one; none is as good as any."""

    def __init__(self, backends: Sequence[Logger]) -> None:
        self.backends = backends

    def log(self, update: int, rows: Sequence[Row]) -> None:
        for backend in self.backends:
            backend.log(update, rows)

    def finish(self, summary: Row) -> None:
        for backend in self.backends:
            backend.finish(summary)


class Guarded:
    """The back end that `make` makes. Whatever fails there is said once, and the back end is left out from then on."""

    def __init__(self, name: str, make: Callable[[], Logger]) -> None:
        self.name = name
        self.backend: Logger | None = None
        self._try(lambda: setattr(self, "backend", make()))

    def log(self, update: int, rows: Sequence[Row]) -> None:
        if (backend := self.backend) is not None:
            self._try(lambda: backend.log(update, rows))

    def finish(self, summary: Row) -> None:
        if (backend := self.backend) is not None:
            self._try(lambda: backend.finish(summary))

    def _try(self, step: Callable[[], None]) -> None:
        try:
            step()
        except Exception as error:  # a service's library may raise anything
            say(self.name, f"{first_line(error)}; going on without it")
            self.backend = None


def say(name: str, line: str) -> None:
    print(redact(f"{name}: {line}"), file=sys.stderr, flush=True)
