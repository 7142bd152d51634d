"""Files that are either whole or absent."""

from __future__ import annotations

import contextlib
import json
import os
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any
from uuid import uuid4

SCRATCH = re.compile(r"\..+\.[0-9a-f]{8}")  # what `write_atomic` calls a file on its way


def write_atomic(path: Path, content: bytes | str, before: Callable[[], None] = lambda: None) -> None:
    """Write `content` beside `path`, flush it to disk, call `before`, rename: a reader sees the old or the new. Raises OSError."""
    path.parent.mkdir(parents=True, exist_ok=True)
    scratch = path.with_name(f".{path.name}.{uuid4().hex[:8]}")
    try:
        with open(scratch, "wb") as f:
            f.write(content.encode() if isinstance(content, str) else content)
            f.flush()
            os.fsync(f.fileno())
        before()
        os.replace(scratch, path)
        _flush_folder(path.parent)
    except BaseException as error:
        with contextlib.suppress(OSError):
            scratch.unlink(missing_ok=True)
        if isinstance(error, OSError):
            error.filename = str(path)  # a failing write does not say of what
        raise


def _flush_folder(folder: Path) -> None:
    """Make renames in `folder` outlast a power failure, where the file system can."""
    with contextlib.suppress(OSError):  # some network file systems refuse; the file itself is on the disk
        handle = os.open(folder, os.O_RDONLY)
        try:
            os.fsync(handle)
        finally:
            os.close(handle)


def remove_scratch(folder: Path, name: str = "") -> None:
    """Remove what writers that were killed left in `folder` of files whose names begin with `name`. For whoever holds their lock."""
    for path in folder.glob(f".{name}*"):
        if SCRATCH.fullmatch(path.name):
            path.unlink(missing_ok=True)


def write_json(path: Path, content: Any) -> None:
    write_atomic(path, json.dumps(content, indent=1) + "\n")
