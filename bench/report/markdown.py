"""Markdown, as far as tables need it."""

from __future__ import annotations

from collections.abc import Sequence

from bench.report.orientation import methods_are_rows, transposed


def row_of(cells: Sequence[str]) -> str:
    """A table's row."""
    return "| " + " | ".join(cells) + " |"


def table_of(methods: Sequence[str], names: Sequence[str], cells: Sequence[Sequence[str]]) -> list[str]:
    """The lines of a table of data sets (`names`) by `methods`, transposed round where the methods are many."""
    lines = [["data set", *methods], *([name, *row] for name, row in zip(names, cells, strict=True))]
    if methods_are_rows(len(methods), len(names)):
        lines = transposed("method", methods, names, cells)
    return [row_of(lines[0]), row_of(["---", *["---:"] * (len(lines[0]) - 1)]), *map(row_of, lines[1:])]
