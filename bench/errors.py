"""Errors that a user can correct, each with a message in one line, and the exit codes of `python -m bench`."""

from __future__ import annotations

from pathlib import Path

from algos.errors import ConfigError, require
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
    "first_line", "require_folder",
]  # fmt: skip


def require_folder(key: str, path: Path) -> None:
    """Raise ConfigError if `path`, a setting for the folder of results, is a file or lies below one: known before anything is computed."""
    found = next((p for p in (path, *path.parents) if p.exists()), path)
    require(found.is_dir() or not found.exists(), key, path, f"a folder; {found} is a file")
