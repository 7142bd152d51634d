"""The error of a setting, and checks that raise it."""


class ConfigError(ValueError):
    """A setting that cannot be used. The message is one line: the key, its value, the expected value."""


def require(holds: bool, key: str, value: object, expected: str) -> None:
    """Raise ConfigError for `key` unless `holds`."""
    if not holds:
        raise ConfigError(f"{key} = {value}: expected {expected}")


def require_positive(config: object, key: str, *names: str) -> None:
    """Raise ConfigError unless the fields `names` of `config` are positive and finite."""
    for name in names:
        require(0 < getattr(config, name) < float("inf"), f"{key}.{name}", getattr(config, name), "a positive number")


def require_share(config: object, key: str, *names: str) -> None:
    """Raise ConfigError unless the fields `names` of `config` are above 0 and at most 1."""
    for name in names:
        require(0 < getattr(config, name) <= 1, f"{key}.{name}", getattr(config, name), "a number above 0, at most 1")
