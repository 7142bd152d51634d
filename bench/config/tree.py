"""Nested settings by dotted names, and the difference of two of them."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

RUN_KEYS = (
    "results_dir", "force", "logger.", "device", "trainer.engine", "suite", "dataset", "env", "seeds", "eval.workers", "population",
    "trainer.max_members", "report.", "objective",
)  # fmt: skip
"""Keys of the place and the data of a run, which a report shows elsewhere."""


def flat(tree: Mapping[str, Any], prefix: str = "") -> dict[str, Any]:
    """A nested mapping by dotted names: {"a": {"b": 1}} as {"a.b": 1}."""
    found: dict[str, Any] = {}
    for key, value in tree.items():
        found |= flat(value, f"{prefix}{key}.") if isinstance(value, Mapping) else {f"{prefix}{key}": value}
    return found


def difference(config: Mapping[str, Any], base: Mapping[str, Any]) -> list[tuple[str, str, str]]:
    """(key, value in `base`, value in `config`) of every setting that differs, "-" for none; RUN_KEYS are left out.

    config: nested, as saved. base: by dotted name, as `bench.config.compose.defaults` returns it.
    """
    own = flat(config)
    keys = [k for k in {**base, **own} if not k.startswith(RUN_KEYS)]
    return [(k, str(base.get(k, "-")), str(own.get(k, "-"))) for k in keys if base.get(k, "-") != own.get(k, "-")]
