"""What to do when asked to leave: SIGTERM and SIGUSR1 (what schedulers send before the time limit) wait for a safe point, where the state
is saved; then the process exits with code 75 (EX_TEMPFAIL of sysexits.h: run the same command again, it goes on from there).

Whoever frames the process may have handlers of its own, as submitit does to put a job back into SLURM's queue. Such a handler is called
after the save instead of the exit, also for SIGUSR2, which submitit uses; if it returns, training goes on.
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

LEAVE = (signal.SIGTERM, signal.SIGUSR1)

_waiting: list[signal.Signals] = []
_frames: dict[signal.Signals, Any] = {}  # handlers that were there before ours, where they are somebody's


class Terminated(SystemExit):
    """The state is saved, and the process leaves as it was asked to."""

    def __init__(self, number: signal.Signals) -> None:
        super().__init__(EXIT_RETRY)
        self.number = number


class SignalReceivedError(Exception):
    """Asked to leave in the midst of something that can be done again."""


@contextmanager
def deferred_signals() -> Iterator[None]:
    """Signals wait for `leave_if_asked`, at the latest the one at the end. Outside the main thread, Python has no signals to catch."""
    if threading.current_thread() is not threading.main_thread() or signal.getsignal(signal.SIGTERM) is _note:
        yield
        return
    before = {s: signal.getsignal(s) for s in (*LEAVE, signal.SIGUSR2)}
    ours = {s: h for s, h in before.items() if callable(h) or (s in LEAVE and h is not signal.SIG_IGN)}
    _waiting.clear()
    _frames.update({s: h for s, h in ours.items() if callable(h)})
    for number in ours:
        signal.signal(number, _note)
    try:
        yield
        leave_if_asked()
    finally:
        for number, handler in ours.items():
            signal.signal(number, handler)
        _frames.clear()


def _note(number: int, frame: FrameType | None) -> None:
    _waiting.append(signal.Signals(number))


def asked() -> bool:
    """Whether a signal waits."""
    return bool(_waiting)


def interrupt_if_asked() -> None:
    """Raise SignalReceivedError if a signal waits."""
    if _waiting:
        raise SignalReceivedError


def leave_if_asked(save: Callable[[], None] = lambda: None) -> None:
    """If a signal waits: `save`, then give it to the handler that was there before ours, or raise Terminated."""
    if not _waiting:
        return
    save()
    arrived = sorted(set(_waiting), key=lambda s: s in LEAVE)  # SIGUSR2's handler puts the job back into the queue, so it comes first
    _waiting.clear()
    for number in arrived:
        if number not in _frames:
            print(f"{number.name}: saved; the same command goes on from here (exit code {EXIT_RETRY})", file=sys.stderr, flush=True)
            raise Terminated(number)
    for number in arrived:
        _frames[number](number, sys._getframe())
