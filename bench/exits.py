"""The exit of a command after a signal: code 75 (EX_TEMPFAIL of sysexits.h: the same command resumes the work), 130 after Ctrl-C.

The signal raises Terminated, or KeyboardInterrupt, in the main thread, so that processes and scratch files are cleaned up. Python and
libraries drop such an exception in some places (finalizers, `except:` around imports): it is then raised again, and after GRACE seconds
the process exits without it. Every file is whole or absent at any moment.
"""

from __future__ import annotations

import os
import signal
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType

from bench.errors import EXIT_INTERRUPTED, EXIT_RETRY

EXIT_SIGNALS = (signal.SIGTERM, signal.SIGUSR1, signal.SIGHUP)
"""Signals of schedulers (before the time limit of a job) and of a closed terminal."""
GRACE = 8.0  # seconds

_active = False  # this process is a command, with these handlers
_importing = False
_leaving: signal.Signals | None = None  # the signal that ends this process
_lost = False  # its exception was dropped


class Terminated(SystemExit):
    """Exit after a signal. saved: the state of a training was saved, and a line said so."""

    def __init__(self, number: signal.Signals, saved: bool = False) -> None:
        super().__init__(EXIT_RETRY)
        self.number, self.saved = number, saved

    def __reduce__(self) -> tuple[type[Terminated], tuple[signal.Signals, bool]]:
        return type(self), (self.number, self.saved)


def exit_on_signals() -> None:
    """Make this process exit after EXIT_SIGNALS and Ctrl-C, except those that have another handler or are ignored."""
    global _active
    _active = True
    for number in (*EXIT_SIGNALS, signal.SIGINT):
        if signal.getsignal(number) in (signal.SIG_DFL, signal.default_int_handler):
            signal.signal(number, leave)
    signal.signal(signal.SIGALRM, _alarm)
    sys.unraisablehook = _unraisable


@contextmanager
def importing() -> Iterator[None]:
    """Exit without cleaning up after a signal in the block, which imports libraries and has nothing to clean up."""
    global _importing
    _importing, before = True, _importing
    try:
        yield
    finally:
        _importing = before


def leaving() -> signal.Signals | None:
    """The signal that ends this process, if one has arrived."""
    return _leaving


def code_of(number: signal.Signals) -> int:
    """The exit code after signal `number`."""
    return EXIT_INTERRUPTED if number == signal.SIGINT else EXIT_RETRY


def line_of(number: signal.Signals) -> str:
    """The line that a command prints after signal `number`."""
    if number == signal.SIGINT:
        return "interrupted; a training command continues from its last checkpoint"
    return f"{number.name}: stopped; run the same command again (exit code {EXIT_RETRY})"


def leave(number: int, frame: FrameType | None) -> None:
    """The handler: raise the signal's exception. Others are ignored then, but a second Ctrl-C exits at once."""
    global _leaving
    if _leaving is None:
        _leaving = signal.Signals(number)
        if _importing:
            _exit_now(_leaving)
        signal.setitimer(signal.ITIMER_REAL, GRACE)
        raise _exception(_leaving)
    if number == signal.SIGINT:
        os._exit(EXIT_INTERRUPTED)


def saved(number: signal.Signals) -> Terminated:
    """The exception of a signal after which the state of a training was saved; others are ignored from now on."""
    global _leaving
    if _active:
        _leaving = number
    return Terminated(number, saved=True)


def _exception(number: signal.Signals) -> BaseException:
    return KeyboardInterrupt() if number == signal.SIGINT else Terminated(number)


def _unraisable(dropped: sys.UnraisableHookArgs) -> None:
    """Raise a signal's exception again that Python dropped, because it arrived in a finalizer."""
    global _lost
    if _leaving is not None and isinstance(dropped.exc_value, Terminated | KeyboardInterrupt):
        _lost = True
        signal.setitimer(signal.ITIMER_REAL, 0.02)
    else:
        sys.__unraisablehook__(dropped)


def _alarm(number: int, frame: FrameType | None) -> None:
    global _lost
    if _leaving is None:
        return
    if not _lost:
        _exit_now(_leaving)
    _lost = False
    signal.setitimer(signal.ITIMER_REAL, GRACE)
    raise _exception(_leaving)


def _exit_now(number: signal.Signals) -> None:
    os.write(2, f"{line_of(number)}\n".encode())  # not print, which the signal may have interrupted
    os._exit(code_of(number))
