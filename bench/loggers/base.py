"""The interface of logging back ends, several back ends as one, and a back end whose failures stop nothing."""

from __future__ import annotations

import sys
from collections.abc import Callable, Sequence
from typing import Protocol

from bench.config.redact import redact
from bench.errors import first_line
from bench.storage.layout import Row


class Logger(Protocol):
    """A destination of curves and summaries. Called at evaluations only."""

    def log(self, update: int, rows: Sequence[Row]) -> None:
        """Log one row per seed: seed, update and metrics. A resumed run logs all of its evaluations again, from the first one on."""

    def finish(self, summary: Row) -> None:
        """Log the metrics of the last evaluation; the run directory is complete."""


class Several:
    """Back ends as one; without any, logging does nothing."""

    def __init__(self, backends: Sequence[Logger]) -> None:
        self.backends = backends

    def log(self, update: int, rows: Sequence[Row]) -> None:
        for backend in self.backends:
            backend.log(update, rows)

    def finish(self, summary: Row) -> None:
        for backend in self.backends:
            backend.finish(summary)


class Guarded:
    """The back end that `make` returns. At its first failure, prints one line and drops it."""

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
            say(self.name, f"{first_line(error)}; continuing without it")
            self.backend = None


def say(name: str, line: str) -> None:
    """Print a line of back end `name` on standard error, without secrets."""
    print(redact(f"{name}: {line}"), file=sys.stderr, flush=True)


def flat_curves(rows: Sequence[Row]) -> dict[str, float]:
    """The metrics of one evaluation by name: `seed_3/loss` for each seed, and `loss`, the mean over the seeds that have it."""
    found: dict[str, float] = {}
    columns: dict[str, list[float]] = {}
    for row in rows:
        for key, value in row.items():
            if key not in ("seed", "update") and isinstance(value, int | float):
                found[f"seed_{row['seed']}/{key}"] = value
                columns.setdefault(key, []).append(value)
    return found | {key: sum(values) / len(values) for key, values in columns.items()}
