"""When a table is transposed round: methods as rows, data sets as columns, where many methods would not fit as columns.

A row is then a method, so that one more method is one more line in the file.
"""

from __future__ import annotations

from collections.abc import Sequence

PAGE = 9  # more columns of methods than this do not fit a web page's width
PAPER = 5  # nor more than this an upright page of paper
COLUMNS = 6  # of a transposed table on paper; those that are more follow in further tables


def methods_are_rows(methods: int, rows: int) -> bool:
    """Whether a table of `rows` rows is narrower with its methods as rows, and too wide otherwise."""
    return methods > max(PAGE, rows)


def transposed(corner: str, head: Sequence[str], names: Sequence[str], cells: Sequence[Sequence[str]]) -> list[list[str]]:
    """Head and rows, transposed: `head` names the columns of `cells`, `names` their rows."""
    return [[corner, *names], *([name, *(row[k] for row in cells)] for k, name in enumerate(head))]
