"""The error that a user can mend."""


class DataError(Exception):
    """Data or an environment that cannot be used as asked; the message is one line that names the thing and the remedy."""


def first_line(error: object) -> str:
    """The first line of an error's message; the name of its type if it has none."""
    return next((line.strip() for line in str(error).splitlines() if line.strip()), type(error).__name__)
