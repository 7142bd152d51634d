"""Observation and action spaces as flat rows: the order is written down once, for logged data and for rollouts alike.

Observations
    box          its entries in C order (images are refused: a policy on flat rows is no policy for pixels)
    discrete     one-hot; multi-binary: its entries; multi-discrete: one-hot of each entry
    dict         its parts in the space's own order, recursively; goal-conditioned ones (with `observation` and `desired_goal`) as
                 observation, then desired_goal: `achieved_goal` repeats what the observation says and is left out
    tuple        its parts in order
Actions
    box of rank 1, as they are; discrete: one column with the action's number counted from 0
"""

from __future__ import annotations

from typing import Any

import numpy as np
from gymnasium import spaces

Leaf = tuple[tuple[str | int, ...], spaces.Space]


def _parts(space: spaces.Space) -> list[tuple[str | int, spaces.Space]]:
    """The named parts of a dict or tuple that count, in order."""
    if isinstance(space, spaces.Tuple):
        return list(enumerate(space.spaces))
    if {"observation", "desired_goal"} <= space.spaces.keys() <= {"observation", "desired_goal", "achieved_goal"}:
        return [(k, space.spaces[k]) for k in ("observation", "desired_goal")]
    return list(space.spaces.items())


def leaves(space: spaces.Space, path: tuple[str | int, ...] = ()) -> list[Leaf]:
    """(path, space) of every array that an observation of `space` is made of, in order."""
    if isinstance(space, spaces.Dict | spaces.Tuple):
        return [leaf for name, part in _parts(space) for leaf in leaves(part, (*path, name))]
    return [(path, space)]


def is_image(space: spaces.Space) -> bool:
    return isinstance(space, spaces.Box) and len(space.shape) >= 2 and space.dtype == np.uint8


def width(space: spaces.Space) -> int:
    """Columns of a flattened `space`. Raises TypeError for a space that has no flat form here."""
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
    """Shape of one entry of a leaf as it is stored, before flattening."""
    return () if isinstance(space, spaces.Discrete) else tuple(space.shape)


def flatten_rows(space: spaces.Space, rows: np.ndarray, out: np.ndarray) -> None:
    """Write rows [T, *row_shape(space)] of a leaf into `out` [T, width(space)]. Raises IndexError for a number out of its range."""
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
    """[T, count] float32 of whole numbers [T] in [0, count)."""
    if len(numbers) and not (numbers.min() >= 0 and numbers.max() < count):
        raise IndexError(f"a number outside 0 .. {count - 1}")
    return np.eye(count, dtype=np.float32)[numbers]


class Flattener:
    """Observations of an environment as rows [width] float32, in the order above."""

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
