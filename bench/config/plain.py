"""Dataclasses from plain data: what OmegaConf makes of a saved configuration, for readers of hundreds of them.

Types are those of the file. A value of another type gives a dataclass that no run had, so its hashes agree with none.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import fields, is_dataclass
from enum import Enum
from typing import Any, TypeVar, get_args, get_origin, get_type_hints

from algos.base import MethodConfig
from algos.registry import methods

T = TypeVar("T")


def structured(schema: type[T], tree: Mapping[str, Any]) -> T:
    """The dataclass `schema` with the values of `tree`, enums by name. Raises KeyError, TypeError for keys or values of another one."""
    hints = _hints(schema)
    return schema(**{key: _value(hints[key], value) for key, value in tree.items()})


def method_of(tree: Mapping[str, Any]) -> MethodConfig:
    """The settings of a method as a configuration saves them: `schema_of`, filled. Raises LookupError as it, and as `structured`."""
    return structured(schema_of(tree), tree)


def schema_of(tree: Mapping[str, Any]) -> type[MethodConfig]:
    """The class of a method's settings: the one with exactly these keys; of several, the one whose name is saved. Raises LookupError."""
    fitting = [schema for schema in methods().values() if set(_hints(schema)) == set(tree)]
    if not fitting:
        raise LookupError(f"no method here has the keys {', '.join(map(str, tree))[:200]}")
    return next((schema for schema in fitting if schema().name == tree["name"]), fitting[0])


def typed(settings: T) -> T:
    """The dataclass `settings` with the numbers that its fields are declared to have: 3 becomes 3.0 in a field of type float."""
    return structured(type(settings), vars(settings))


def misfit(settings: Any, prefix: str = "") -> str | None:
    """The dotted key of the first list or mapping in the dataclass `settings` with an item of another type; OmegaConf lets some through."""
    for key, hint in _hints(type(settings)).items():
        value = getattr(settings, key)
        if is_dataclass(value):
            if found := misfit(value, f"{prefix}{key}."):
                return found
        elif isinstance(value, list | dict) and (kind := get_args(hint)[-1:]) and kind[0] in (int, float, str):
            allowed = (int, float) if kind[0] is float else kind[0]
            if not all(isinstance(item, allowed) for item in (value.values() if isinstance(value, dict) else value)):
                return f"{prefix}{key}"
    return None


_HINTS: dict[Any, dict[str, Any]] = {}


def _hints(schema: Any) -> dict[str, Any]:
    """The types of the fields of a dataclass by name, which take long to find."""
    if schema not in _HINTS:
        hints = get_type_hints(schema)
        _HINTS[schema] = {f.name: hints[f.name] for f in fields(schema)}
    return _HINTS[schema]


def _value(hint: Any, value: Any) -> Any:
    """`value` as the type `hint`."""
    if value is None:
        return None
    if get_origin(hint) is list:
        return [_value(get_args(hint)[0], item) for item in value]
    if get_origin(hint) is not None:  # a union with None, or a mapping
        parts = [part for part in get_args(hint) if part in (float,) or is_dataclass(part)]
        return _value(parts[0], value) if parts and get_origin(hint) is not dict else value
    if isinstance(hint, type) and issubclass(hint, Enum):
        return value if isinstance(value, Enum) else hint[value]
    if is_dataclass(hint):
        return structured(hint, vars(value) if is_dataclass(value) else value)  # type: ignore[arg-type]
    return float(value) if hint is float and isinstance(value, int) and not isinstance(value, bool) else value
