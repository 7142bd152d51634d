"""Numbers as text."""

from __future__ import annotations

from collections.abc import Iterable
from math import floor, isfinite, log10


def decimals(*values: float, significant: int = 3) -> int:
    """Decimals that show `significant` digits of the largest of `values`, at most 6: 0 for 1234, 2 for 1.234, 3 for 0.4125."""
    size = max((abs(v) for v in values if isfinite(v)), default=0.0)
    return min(6, max(0, significant - 1 - floor(log10(size)))) if size else 1


def spell_return(value: float) -> str:
    """A raw return: one decimal, or as many as three significant digits need."""
    return f"{value:.{max(1, decimals(value))}f}"


def spell_seeds(seeds: Iterable[int]) -> str:
    """Seeds with ranges for three or more in a row: "0-3, 7"."""
    runs: list[list[int]] = []
    for seed in sorted(seeds):
        if runs and seed == runs[-1][-1] + 1:
            runs[-1].append(seed)
        else:
            runs.append([seed])
    return ", ".join(f"{run[0]}-{run[-1]}" if len(run) > 2 else ", ".join(map(str, run)) for run in runs)
