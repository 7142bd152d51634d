"""Settings in which members of a population may differ, and parts of a population's state.

A field of a method's configuration that is marked `batchable` is a tensor [P] in training (Algo.scalar). Settings that change shapes,
data or the length of a schedule cannot be marked.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import field, fields, is_dataclass, replace
from typing import Any, TypeVar

import torch
from torch import Tensor

from algos.base import State
from algos.errors import ConfigError

C = TypeVar("C")


def batchable(default: float) -> Any:
    """A field in which members may differ: `temperature: float = batchable(10.0)`.

    Derived classes keep the mark, also if they give the field another default.
    """
    return field(default=default, metadata={"batchable": True})


def batchable_settings(config: Any, prefix: str = "") -> dict[str, float]:
    """The marked settings of `config` by dotted name: {"weighting.temperature": 10.0, ...}."""
    found: dict[str, float] = {}
    for name, value, marked in _settings(config):
        if marked:
            found[prefix + name] = value
        elif is_dataclass(value):
            found |= batchable_settings(value, f"{prefix}{name}.")
    return found


def with_settings(config: C, values: dict[str, Any]) -> C:
    """A copy of `config` with the dotted settings `values`."""
    changes: dict[str, Any] = {}
    for key, value in values.items():
        name, _, rest = key.partition(".")
        changes[name] = with_settings(changes.get(name, getattr(config, name)), {rest: value}) if rest else value
    return replace(config, **changes)  # type: ignore[type-var]


def stacked(configs: Sequence[C]) -> C:
    """The configuration of a population from those of its members [P]: a marked setting in which they differ becomes a tuple of P values.

    Raises ConfigError if they differ in anything else.
    """
    settings = [batchable_settings(config) for config in configs]
    differing = {k: tuple(s[k] for s in settings) for k in settings[0] if len({s.get(k) for s in settings}) > 1}
    if any(with_settings(config, {k: settings[0][k] for k in differing}) != configs[0] for config in configs):
        raise ConfigError(f"the members of a population may differ in {', '.join(settings[0])} and their seeds alone")
    return with_settings(configs[0], differing) if differing else configs[0]


def _settings(config: Any) -> Iterator[tuple[str, Any, bool]]:
    """(name, value, marked) of every field."""
    marked = {f.name for cls in type(config).__mro__ if is_dataclass(cls) for f in fields(cls) if f.metadata.get("batchable")}
    return ((f.name, getattr(config, f.name), f.name in marked) for f in fields(config))


def part(state: State, members: slice) -> State:
    """The state of some members, as views; a tensor without dimensions is common to all members."""
    return {name: value if value.ndim == 0 else value[members] for name, value in state.items()}


def joined(states: Sequence[State]) -> State:
    """One state of the members of all `states`, in order. All must be at the same update."""
    return {name: value if value.ndim == 0 else torch.cat([s[name] for s in states]) for name, value in states[0].items()}


def misfit(found: Mapping[str, Tensor], expected: Mapping[str, Tensor], optional: tuple[str, ...] = ()) -> str | None:
    """The first difference in names, types or shapes between the tensors `found` and `expected`; None if they agree.

    Names that begin with one of `optional` may be absent.
    """
    for name, like in expected.items():
        if name not in found:
            if not name.startswith(optional):
                return f"it has no {name}"
        elif (found[name].dtype, found[name].shape) != (like.dtype, like.shape):
            kinds = [f"{value.dtype} of shape {list(value.shape)}" for value in (found[name], like)]
            return f"{name} is {kinds[0]}, not {kinds[1]}"
    return next((f"it has {name[:60]!r}, which training does not" for name in found if name not in expected), None)
