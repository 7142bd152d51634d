"""A stop's rows under the names that dashboards show."""

from __future__ import annotations

from collections.abc import Sequence

from bench.storage.rundir import Row


def flat_curves(rows: Sequence[Row]) -> dict[str, float]:
    """`seed_3/loss` for every seed's metric and `loss` for its mean over the seeds that have it."""
    found: dict[str, float] = {}
    columns: dict[str, list[float]] = {}
    for row in rows:
        for key, value in row.items():
            if key not in ("seed", "update") and isinstance(value, int | float):
                found[f"seed_{row['seed']}/{key}"] = value
                columns.setdefault(key, []).append(value)
    return found | {key: sum(values) / len(values) for key, values in columns.items()}
