"""A back end on a thread of its own: however slow it is, training does not wait for it."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from queue import Full, Queue
from threading import Thread
from typing import Any

from bench.loggers.base import Guarded, Logger, say
from bench.storage.layout import Row

WAITING = 1000  # calls that may wait for a slow back end; later ones are dropped
PATIENCE = 60.0  # seconds that `finish` may wait in vain, summed over all runs of a process

_spent: dict[str, float] = {}  # seconds waited in vain, by back end


class Threaded:
    """The back end that `make` returns, created and called on a daemon thread. `finish` waits for it, PATIENCE seconds at most."""

    def __init__(self, name: str, make: Callable[[], Logger]) -> None:
        self.name, self.make = name, make
        self.calls: Queue[tuple[str, tuple[Any, ...]]] = Queue(WAITING)
        self.full = False
        self.thread = Thread(target=self._work, name=f"logger {name}", daemon=True)
        self.thread.start()

    def log(self, update: int, rows: Sequence[Row]) -> None:
        self._put("log", update, list(rows))

    def finish(self, summary: Row) -> None:
        self._put("finish", dict(summary))
        begun = time.monotonic()
        self.thread.join(max(0.5, PATIENCE - _spent.get(self.name, 0.0)))
        if self.thread.is_alive():
            waited = time.monotonic() - begun
            _spent[self.name] = _spent.get(self.name, 0.0) + waited
            say(self.name, f"not finished {waited:.0f} s after the end of the run; continuing without it")

    def _put(self, name: str, *arguments: Any) -> None:
        try:
            self.calls.put_nowait((name, arguments))
        except Full:
            if not self.full:
                say(self.name, f"{WAITING} calls behind; later ones are dropped")
            self.full = True

    def _work(self) -> None:
        backend = Guarded(self.name, self.make)
        while True:
            name, arguments = self.calls.get()
            getattr(backend, name)(*arguments)
            if name == "finish":
                return
