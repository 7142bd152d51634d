"""Errors that a user can correct, from all packages, and their message in one line."""

from __future__ import annotations

from algos.errors import ConfigError
from envs.errors import DataError, first_line


class RunError(Exception):
    """A run or command that cannot continue; the message is one line that names the thing and the remedy."""


USER_ERRORS = (ConfigError, DataError, RunError)

__all__ = ["USER_ERRORS", "ConfigError", "DataError", "RunError", "first_line"]
