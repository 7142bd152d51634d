"""Worker processes that signals to the whole job do not end: they serve until their main process ends or closes them."""

from __future__ import annotations

import os
import signal
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from multiprocessing import current_process, parent_process, resource_tracker

SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP, signal.SIGUSR1, signal.SIGUSR2)
"""Signals that terminals and schedulers send to every process of a job. The main process decides when its workers end."""


def may_spawn() -> bool:
    """True unless this is a script, whose work a new process might do again when it imports it, or a worker, which may have none."""
    started_as_module = getattr(sys.modules["__main__"], "__spec__", None) is not None  # as with `python -m bench`
    return started_as_module and not current_process().daemon


@contextmanager
def signals_blocked() -> Iterator[None]:
    """Block SIGNALS in this thread and, from their first instruction on, in the processes that it starts in the block."""
    # The start of the first process would start multiprocessing's resource tracker, which unblocks SIGINT and SIGTERM.
    resource_tracker.ensure_running()
    before = signal.pthread_sigmask(signal.SIG_BLOCK, SIGNALS)
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


def ignore_signals() -> None:
    """Ignore SIGNALS in this worker process."""
    for number in SIGNALS:
        signal.signal(number, signal.SIG_IGN)


def serve_parent() -> None:
    """Ignore SIGNALS in this worker process, and end it when its main process ends, even if that is killed."""
    ignore_signals()
    threading.Thread(target=_end_with_parent, daemon=True).start()


def _end_with_parent() -> None:
    if (parent := parent_process()) is not None:
        parent.join()
        os._exit(0)
