"""Spaces that a data set's metadata declare, checked as JSON: before a library builds them, or an array is allocated for their rows."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from math import prod
from typing import Any

from envs.errors import DataError
from envs.untrusted import parse_json

WIDEST = 1_000_000  # columns of an observation or an action
CHOICES = 10_000  # of all discrete entries together: each is a column, filled from one number of the file
PARTS = 10_000  # of a dict or tuple, nested ones included
DTYPES = ("float16", "float32", "float64", "bool", *(f"{sign}int{bits}" for sign in ("", "u") for bits in (8, 16, 32, 64)))


def check_spaces(dataset: str, metadata: Mapping[str, Any], keys: tuple[str, ...]) -> None:
    """Raise DataError, naming the key of `metadata`, for a declared space of absurd size or of another form than Minari writes."""
    for key in keys:
        if (text := metadata.get(key)) is None:
            continue
        try:
            if not isinstance(text, str):
                raise ValueError("is no text")
            _check_size(list(_leaves(parse_json(text))))
        except (ValueError, TypeError, KeyError, AttributeError) as error:
            reason = f"lacks the key {error}" if isinstance(error, KeyError) else str(error)
            raise DataError(f"{dataset}: data/metadata.json, {key}: {reason[:200]}; remove the data set, or correct the file") from error


def _leaves(space: Any) -> Iterator[Mapping[str, Any]]:
    """The spaces in a dict or tuple, which `parse_json` has limited in depth. Raises ValueError for more than PARTS."""
    waiting, seen = [space], 0
    while waiting:
        found = waiting.pop()
        if not isinstance(found, dict):
            raise ValueError("expected a space as Minari writes it: an object with a type")
        if (seen := seen + 1) > PARTS:
            raise ValueError(f"has more than {PARTS:,} parts")
        if found["type"] in ("Dict", "Tuple"):
            parts = found["subspaces"]
            waiting += parts.values() if isinstance(parts, dict) else parts
        else:
            yield found


def _check_size(leaves: list[Mapping[str, Any]]) -> None:
    """Raise ValueError for spaces with more columns than WIDEST or more discrete choices than CHOICES, or numbers of another type."""
    columns = choices = 0
    for leaf in leaves:
        kind = leaf["type"]
        if kind in ("Box", "MultiDiscrete") and leaf["dtype"] not in DTYPES:
            raise ValueError(f"dtype is {str(leaf['dtype'])[:40]!r}; expected one of {', '.join(DTYPES)}")
        if kind == "Box":
            columns += prod(_sizes(leaf["shape"]))
        elif kind == "MultiBinary":
            columns += prod(_sizes(leaf["n"]))
        elif kind == "Discrete":
            choices += sum(_sizes(leaf["n"]))
        elif kind == "MultiDiscrete":
            choices += sum(_sizes(leaf["nvec"]))
        if columns > WIDEST or choices > CHOICES:
            limits = f"{WIDEST:,} columns of boxes and {CHOICES:,} choices of discrete entries"
            raise ValueError(f"{kind} is too large for any policy; expected at most {limits}")


def _sizes(value: Any) -> list[int]:
    """The whole numbers in `value`, a number or nested lists of them. Raises ValueError for anything else, negative numbers included."""
    if isinstance(value, list):
        return [size for item in value for size in _sizes(item)]
    if isinstance(value, bool) or not isinstance(value, int) or value < 0:
        raise ValueError(f"has the size {str(value)[:40]}; expected a whole number from 0 on")
    return [value]
