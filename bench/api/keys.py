"""Configuration keys from Python values: mappings of a call become the overrides that the command takes."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from enum import Enum
from typing import Any

from algos.errors import ConfigError
from bench.config.compose import compose
from bench.config.mistakes import MISTAKES, explain
from bench.config.schema import Config
from bench.errors import USER_ERRORS


def config_of(keys: Mapping[str, Any], settings: Mapping[str, Any]) -> Config:
    """The checked configuration with `keys`, and `settings` below algo. Raises ConfigError in one line for any mistake in them."""
    overrides = [*_overrides(keys), *_overrides({"algo": settings} if settings else {})]
    try:
        return compose(overrides)
    except USER_ERRORS:
        raise
    except MISTAKES as error:
        raise ConfigError(explain(error)) from error


def _overrides(tree: Mapping[str, Any], prefix: str = "") -> Iterator[str]:
    """key=value of every leaf of `tree`, in Hydra's grammar; a list stays one value."""
    for name, value in tree.items():
        if isinstance(value, Mapping):
            yield from _overrides(value, f"{prefix}{name}.")
        else:
            yield f"{prefix}{name}={_spell(value)}"


def _spell(value: Any) -> str:
    """`value` as Hydra reads it back."""
    if value is None or isinstance(value, bool):
        return {None: "null", True: "true", False: "false"}[value]
    if isinstance(value, int | float):
        return repr(value)
    if isinstance(value, list | tuple | range):
        return f"[{','.join(map(_spell, value))}]"
    if hasattr(value, "tolist"):  # NumPy's and torch's numbers and arrays
        return _spell(value.tolist())
    text = value.name if isinstance(value, Enum) else str(value)
    return "'" + text.replace("\\'", "\\\\'").replace("'", "\\'") + "'"
