"""Signals during training (EXIT_SIGNALS of bench/exits.py): they wait until the state is saved, then the process exits with code 75.

The process may have handlers already, such as submitit's, which puts a job back into SLURM's queue. Such a handler is called after the
save instead of the exit, also for SIGUSR2, which submitit uses; if it returns, training continues.
"""

from __future__ import annotations

import signal
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import FrameType
from typing import Any

from bench.errors import EXIT_RETRY
from bench.exits import EXIT_SIGNALS, Terminated, leave, saved

__all__ = [
    "SignalReceivedError", "Terminated", "deferred_signals", "exit_if_signalled", "interrupt_if_signalled", "signalled",
]  # fmt: skip

_received: list[signal.Signals] = []
_previous: dict[signal.Signals, Any] = {}  # handlers that were set before `deferred_signals`


class SignalReceivedError(Exception):
    """A signal arrived during work that can be repeated."""


@contextmanager
def deferred_signals() -> Iterator[None]:
    """Make signals wait for `exit_if_signalled`, at the latest at the end of the block. Does nothing outside the main thread."""
    if threading.current_thread() is not threading.main_thread() or signal.getsignal(signal.SIGTERM) is _receive:
        yield
        return
    before = {s: signal.getsignal(s) for s in (*EXIT_SIGNALS, signal.SIGUSR2)}
    replaced = {s: h for s, h in before.items() if callable(h) or (s in EXIT_SIGNALS and h is not signal.SIG_IGN)}
    _received.clear()
    _previous.update({s: h for s, h in replaced.items() if callable(h) and h is not leave})
    for number in replaced:
        signal.signal(number, _receive)
    try:
        try:
            yield
        finally:
            for number, handler in replaced.items():
                signal.signal(number, handler)
        exit_if_signalled()
    finally:
        _previous.clear()


def _receive(number: int, frame: FrameType | None) -> None:
    _received.append(signal.Signals(number))


def signalled() -> bool:
    """True if a signal waits for `exit_if_signalled`."""
    return bool(_received)


def interrupt_if_signalled() -> None:
    """Raise SignalReceivedError if a signal has arrived."""
    if _received:
        raise SignalReceivedError


def exit_if_signalled(save: Callable[[], None] = lambda: None) -> None:
    """If a signal has arrived: `save`, then raise Terminated, or call the signal's previous handler if it had one."""
    if not _received:
        return
    save()
    arrived = sorted(set(_received), key=lambda s: s in EXIT_SIGNALS)  # SIGUSR2 first: its handler puts the job back into the queue
    _received.clear()
    for number in arrived:
        if number not in _previous:
            print(f"{number.name}: saved; run the same command again to resume (exit code {EXIT_RETRY})", file=sys.stderr, flush=True)
            raise saved(number)
    for number in arrived:
        _previous[number](number, sys._getframe())
