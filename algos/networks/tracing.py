"""While an update is traced for a compiler, everything is done in ordinary operations that depend on no number's value."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

_depth = 0


def tracing() -> bool:
    """Whether an update is being traced."""
    return _depth > 0


@contextmanager
def ordinary_operations() -> Iterator[None]:
    """Trace within."""
    global _depth
    _depth += 1
    try:
        yield
    finally:
        _depth -= 1
