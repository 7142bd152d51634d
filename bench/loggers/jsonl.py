"""log.jsonl: one JSON object a line, a line a row; what other programs read as it grows."""

from __future__ import annotations

import json
import math
from collections.abc import Sequence
from pathlib import Path

from bench.storage.files import write_atomic
from bench.storage.rundir import Row


class Jsonl:
    """Appends to `path`. A line that a kill cut off, and lines that a resumed run repeats, are dropped before the first new one."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.opened = False

    def log(self, update: int, rows: Sequence[Row]) -> None:
        if not self.opened:
            write_atomic(self.path, "".join(line for line in _lines(self.path) if _before(line, update)))
            self.opened = True
        with open(self.path, "a") as f:  # one write: a kill leaves whole lines, or one cut off at the end
            f.write("".join(json.dumps({k: _plain(v) for k, v in row.items()}) + "\n" for row in rows))

    def finish(self, summary: Row) -> None: ...


def _lines(path: Path) -> list[str]:
    return path.read_text().splitlines(keepends=True) if path.exists() else []


def _before(line: str, update: int) -> bool:
    """Whether a line is whole and older than `update`."""
    try:
        return line.endswith("\n") and json.loads(line)["update"] < update
    except (ValueError, KeyError, TypeError):
        return False


def _plain(value: object) -> object:
    """`value`, null for a number that JSON does not have."""
    return None if isinstance(value, float) and not math.isfinite(value) else value
