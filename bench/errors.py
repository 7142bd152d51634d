"""The errors that a user can mend, from all rooms."""

from algos.errors import ConfigError
from envs.errors import DataError


class RunError(Exception):
    """A run that cannot go on; the message is one line that names the thing and the remedy."""


USER_ERRORS = (ConfigError, DataError, RunError)
