"""Statistics of columns, computed in pieces because the data may be larger than memory."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator

import numpy as np

ENTRIES = 1 << 20  # numbers read at once


def parts(rows: np.ndarray) -> Iterator[np.ndarray]:
    """`rows` in pieces of at most ENTRIES numbers."""
    step = max(1, ENTRIES // rows.shape[1])
    return (rows[start : start + step] for start in range(0, len(rows), step))


def deviations(rows: np.ndarray) -> np.ndarray:
    """Standard deviation of each column, in double precision."""
    mean = sum(part.sum(0, dtype=np.float64) for part in parts(rows)) / len(rows)
    return np.sqrt(sum(np.square(part - mean).sum(0) for part in parts(rows)) / len(rows))


def twins(observations: np.ndarray, columns: np.ndarray) -> list[tuple[int, int]]:
    """Pairs (first, other) of equal columns among `columns`."""
    first: dict[bytes, int] = {}
    found = []
    for column in columns.tolist():
        key = hashlib.sha256(np.ascontiguousarray(observations[:, column]).data).digest()
        if key in first:
            found.append((first[key], column))
        first.setdefault(key, column)
    return found
