"""The error that a user can mend."""


class ConfigError(ValueError):
    """A setting that cannot be used; the message is one line: which key, what was given, what was expected."""


def require(holds: bool, key: str, value: object, expected: str) -> None:
    """Raise ConfigError for `key` unless `holds`."""
    if not holds:
        raise ConfigError(f"{key} = {value}: expected {expected}")
