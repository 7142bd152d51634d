"""The error that a user can mend."""


class DataError(Exception):
    """Data or an environment that cannot be used as asked; the message is one line that names the thing and the remedy."""
