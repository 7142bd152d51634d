"""A check of a run's importance weights: do they still tell trajectories apart, and do they rest on more than a few?"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from bench.storage.layout import Row

SATURATED = 0.9  # share of the weights at a clip
COLLAPSED = 0.05  # effective sample size as a share of the curated data
FEW = 3.0  # the same as a number of distinct trajectories


class WeightCheck(NamedTuple):
    """Mean over seeds at the last evaluation of the effective sample size (share) and of the share at a clip; the faults at any evaluation.

    saturated, collapsed: the first update after which a seed's weights were so, None if none was.
    """

    ess: float
    clipped: float
    saturated: int | None
    collapsed: int | None

    def record(self) -> Row:
        """The entry of run.json."""
        return {name: value for name, value in self._asdict().items() if value is not None}

    @property
    def warning(self) -> str:
        """One line on the faults, "" if there is none."""
        found = []
        if self.saturated is not None:
            found.append(f"saturated after update {self.saturated:,} ({SATURATED:.0%} at a clip): the method is SFT there")
        if self.collapsed is not None:
            found.append(
                f"collapsed after update {self.collapsed:,} (effective sample size below {COLLAPSED:.0%} or {FEW:g} trajectories): "
                "a few trajectories decide"
            )
        return f"importance weights {'; '.join(found)}; at the end {self.ess:.1%} count, {self.clipped:.0%} are at a clip" if found else ""


def check_weights(curve: Sequence[Row]) -> WeightCheck | None:
    """The check of a run whose curve has the rows `curve` (one for each update and seed); None for a method without ratios."""
    rows = [r for r in curve if _number(r, "weight_ess_share") is not None and _number(r, "weight_temperature") is not None]
    if not rows:
        return None
    last = max(int(r["update"]) for r in rows)
    end = [r for r in rows if int(r["update"]) == last]
    ess, clipped = (float(np.mean([float(r[name]) for r in end])) for name in ("weight_ess_share", "weight_clipped_share"))
    saturated, collapsed = ([int(r["update"]) for r in rows if fault(r)] for fault in (_is_saturated, _is_collapsed))
    return WeightCheck(ess, clipped, min(saturated, default=None), min(collapsed, default=None))


def _is_saturated(row: Row) -> bool:
    return float(row["weight_clipped_share"]) >= SATURATED


def _is_collapsed(row: Row) -> bool:
    share, count = float(row["weight_ess_share"]), _number(row, "weight_trajectories")
    few = False if count is None else count < min(FEW, round(count / share)) * (1 - 1e-4)  # of fewer than FEW, all may count
    return share < COLLAPSED * (1 - 1e-4) or few


def _number(row: Row, name: str) -> float | None:
    """The finite number in a row's column, or None."""
    try:
        value = float(row[name])
    except (KeyError, TypeError, ValueError):
        return None
    return value if np.isfinite(value) else None
