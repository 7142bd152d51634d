"""Observations and actions as flat rows, in one order for logged data and rollouts.

Observations
    box          entries in C order; images are refused
    discrete     one-hot; multi-binary: its entries; multi-discrete: one-hot of each entry
    dict         parts in the space's order, recursively; goal-conditioned observations (with `observation` and `desired_goal`) as
                 observation, then desired_goal, without `achieved_goal`, which repeats part of the observation
    tuple        parts in order
Actions are defined in `envs.data.actions`.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from gymnasium import spaces

from envs.errors import DataError

Leaf = tuple[tuple[str | int, ...], spaces.Space]


def _parts(space: spaces.Space) -> list[tuple[str | int, spaces.Space]]:
    """The named parts of a dict or tuple that policies see, in order."""
    if isinstance(space, spaces.Tuple):
        return list(enumerate(space.spaces))
    if {"observation", "desired_goal"} <= space.spaces.keys() <= {"observation", "desired_goal", "achieved_goal"}:
        return [(k, space.spaces[k]) for k in ("observation", "desired_goal")]
    return list(space.spaces.items())


def leaves(space: spaces.Space, path: tuple[str | int, ...] = ()) -> list[Leaf]:
    """(path, space) of every array in an observation of `space`, in order."""
    if isinstance(space, spaces.Dict | spaces.Tuple):
        return [leaf for name, part in _parts(space) for leaf in leaves(part, (*path, name))]
    return [(path, space)]


def form(space: spaces.Space) -> list[tuple[object, ...]]:
    """All that decides how rows of `space` are flattened: path, kind, shape, and the numbers of discrete parts with their start."""
    found: list[tuple[object, ...]] = []
    for path, leaf in leaves(space):
        kind = type(leaf).__name__
        if isinstance(leaf, spaces.Discrete):
            found.append((path, kind, int(leaf.n), int(leaf.start)))
        elif isinstance(leaf, spaces.MultiDiscrete):
            found.append((path, kind, leaf.nvec.tolist(), leaf.start.tolist()))
        else:
            found.append((path, kind, leaf.shape))
    return found


def is_image(space: spaces.Space) -> bool:
    return isinstance(space, spaces.Box) and len(space.shape) >= 2 and space.dtype == np.uint8


def width(space: spaces.Space) -> int:
    """Columns of a flattened `space`. Raises TypeError for a space without a flat form."""
    if isinstance(space, spaces.Box) and not is_image(space):
        return int(np.prod(space.shape, dtype=int))
    if isinstance(space, spaces.Discrete):
        return int(space.n)
    if isinstance(space, spaces.MultiBinary):
        return int(np.prod(space.shape, dtype=int))
    if isinstance(space, spaces.MultiDiscrete):
        return int(space.nvec.sum())
    if isinstance(space, spaces.Dict | spaces.Tuple):
        return sum(width(leaf) for _, leaf in leaves(space))
    raise TypeError(f"{space} cannot be flattened")


def row_shape(space: spaces.Space) -> tuple[int, ...]:
    """Shape of a leaf's row before flattening."""
    return () if isinstance(space, spaces.Discrete) else tuple(space.shape)


def flatten_rows(space: spaces.Space, rows: np.ndarray, out: np.ndarray) -> None:
    """Write rows [T, *row_shape(space)] of a leaf into `out` [T, width(space)]. Raises IndexError for a number outside its range."""
    if isinstance(space, spaces.Discrete):
        out[...] = one_hot(np.asarray(rows) - space.start, int(space.n))
    elif isinstance(space, spaces.MultiDiscrete):
        column = 0
        entries = (np.asarray(rows) - space.start).reshape(len(rows), -1)
        for k, n in enumerate(space.nvec.reshape(-1).tolist()):
            out[:, column : column + n] = one_hot(entries[:, k], n)
            column += n
    else:
        out[...] = np.asarray(rows).reshape(len(rows), -1)


def one_hot(numbers: np.ndarray, count: int) -> np.ndarray:
    """One-hot rows [T, count] float32 of whole numbers [T] in [0, count). Raises IndexError for others."""
    if len(numbers) and not (numbers.min() >= 0 and numbers.max() < count):
        raise IndexError(f"a number outside 0 .. {count - 1}")
    rows = np.zeros((len(numbers), count), np.float32)  # a matrix of the identity would be as large as the square of `count`
    rows[np.arange(len(numbers)), numbers] = 1
    return rows


class Flattener:
    """Flattens observations of an environment into rows [width] float32."""

    def __init__(self, space: spaces.Space) -> None:
        self.leaves, self.width = leaves(space), width(space)
        self.plain = isinstance(space, spaces.Box) and len(space.shape) == 1

    def __call__(self, observation: Any) -> np.ndarray:
        if self.plain:
            return observation
        out, column = np.empty((1, self.width), np.float32), 0
        for path, leaf in self.leaves:
            part = observation
            for name in path:
                part = part[name]
            columns = width(leaf)
            flatten_rows(leaf, np.asarray(part)[None], out[:, column : column + columns])
            column += columns
        return out[0]


def flatten(space: spaces.Space, observation: Any) -> tuple[np.ndarray, bool]:
    """One observation of `space` or a batch of them as rows [B, width] float32, and True for a batch.

    Every array of a batch has B as its first dimension. Raises DataError for other shapes.
    """
    columns, batched = [], []
    for path, leaf in leaves(space):
        part = observation
        for name in path:
            part = part[name]
        array, shape = np.asarray(part), row_shape(leaf)
        if array.shape not in (shape, (*array.shape[:1], *shape)):
            where = "".join(f"[{name!r}]" for name in path)
            raise DataError(f"observation{where} has shape {array.shape}: expected {shape} or (B, {', '.join(map(str, shape))})")
        batched.append(array.shape != shape)
        rows = array if batched[-1] else array[None]
        columns.append(np.empty((len(rows), width(leaf)), np.float32))
        flatten_rows(leaf, rows, columns[-1])
    if len({len(c) for c in columns}) > 1 or len(set(batched)) > 1:
        raise DataError(f"observation: its parts have {', '.join(str(len(c)) for c in columns)} rows; expected the same number in each")
    return np.concatenate(columns, axis=1), batched[0]
