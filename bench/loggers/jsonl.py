"""log.jsonl: a line per row, a JSON object each, for programs that read it while it grows."""

from __future__ import annotations

import json
import math
from collections.abc import Sequence
from pathlib import Path

from bench.storage.layout import Row
from envs.files import write_atomic


class Jsonl:
    """Appends to `path`. Before its first line, removes a line cut off by a kill and the lines that a resumed run will repeat."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.opened = False

    def log(self, update: int, rows: Sequence[Row]) -> None:
        if not self.opened:
            write_atomic(self.path, "".join(line for line in _lines(self.path) if _is_older(line, update)))
            self.opened = True
        with open(self.path, "a") as f:  # one write: a kill leaves whole lines and at most one cut off, the last
            f.write("".join(json.dumps({k: _plain(v) for k, v in row.items()}) + "\n" for row in rows))

    def finish(self, summary: Row) -> None: ...


def _lines(path: Path) -> list[str]:
    return path.read_text().splitlines(keepends=True) if path.is_file() and not path.is_symlink() else []


def _is_older(line: str, update: int) -> bool:
    """True for a whole line of an update before `update`."""
    try:
        return line.endswith("\n") and json.loads(line)["update"] < update
    except (ValueError, KeyError, TypeError):
        return False


def _plain(value: object) -> object:
    """`value`, or None for a number that JSON cannot express."""
    return None if isinstance(value, float) and not math.isfinite(value) else value
