"""Errors that a user can correct."""


class DataError(Exception):
    """Data or an environment that cannot be used; the message is one line that names the file, episode or step and the remedy."""


def first_line(error: object) -> str:
    """The first line of an error's message; the name of its type if it has none."""
    return next((line.strip() for line in str(error).splitlines() if line.strip()), type(error).__name__)
