"""The error that a user can mend."""


class ConfigError(ValueError):
    """A setting that cannot be used; the message is one line: which key, what was given, what was expected."""


def require(holds: bool, key: str, value: object, expected: str) -> None:
    """Raise ConfigError for `key` unless `holds`."""
    if not holds:
        raise ConfigError(f"{key} = {value}: expected {expected}")


def require_positive(config: object, key: str, *names: str) -> None:
    """Raise ConfigError unless the fields `names` of `config` are positive and finite."""
    for name in names:
        require(0 < getattr(config, name) < float("inf"), f"{key}.{name}", getattr(config, name), "a positive number")


def require_share(config: object, key: str, *names: str) -> None:
    """Raise ConfigError unless the fields `names` of `config` lie above 0 and at most at 1."""
    for name in names:
        require(0 < getattr(config, name) <= 1, f"{key}.{name}", getattr(config, name), "a number above 0, at most 1")
