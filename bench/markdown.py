"""Markdown, as far as tables need it."""

from __future__ import annotations

from collections.abc import Sequence


def row_of(cells: Sequence[str]) -> str:
    """A table's row."""
    return "| " + " | ".join(cells) + " |"
