"""Numbers as text."""

from __future__ import annotations

from math import floor, isfinite, log10


def decimals(*values: float, significant: int = 3) -> int:
    """Decimals that show `significant` digits of the largest of `values`, at most 6: 0 for 1234, 2 for 1.234, 3 for 0.4125."""
    size = max((abs(v) for v in values if isfinite(v)), default=0.0)
    return min(6, max(0, significant - 1 - floor(log10(size)))) if size else 1


def spell_return(value: float) -> str:
    """A raw return: one decimal, or as many as three significant digits need."""
    return f"{value:.{max(1, decimals(value))}f}"
