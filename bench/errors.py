"""Errors that a user can correct, each with a message in one line, and the exit codes of `python -m bench`."""

from __future__ import annotations

from algos.errors import ConfigError
from envs.errors import DataError, first_line

EXIT_DIFFERENCE = 1  # `verify` found other returns; also a defect of this program, with its traceback
EXIT_MISTAKE = 2  # a user's mistake: one line on standard error
EXIT_RETRY = 75  # terminated by a signal, state saved (EX_TEMPFAIL of sysexits.h): the same command continues
EXIT_INTERRUPTED = 130  # Ctrl-C


class RunError(Exception):
    """A run or command that cannot continue; the message is one line that names the thing and the remedy."""


USER_ERRORS = (ConfigError, DataError, RunError)

__all__ = [
    "EXIT_DIFFERENCE", "EXIT_INTERRUPTED", "EXIT_MISTAKE", "EXIT_RETRY", "USER_ERRORS", "ConfigError", "DataError", "RunError",
    "first_line",
]  # fmt: skip
