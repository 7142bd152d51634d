"""The writer of every file of the suite: a file or folder is whole or absent, even if its process is killed."""

from __future__ import annotations

import fcntl
import json
import os
import re
import shutil
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path
from typing import Any
from uuid import uuid4

SCRATCH = re.compile(r"\..+\.[0-9a-f]{8}")  # names of files before they are complete
SCRATCH_FOLDER = ".scratch-"  # beginning of the names of folders before they are complete


def user_cache() -> Path:
    """The folder of what is kept between commands of a user, and may be removed at any time."""
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "iwsft-bench"


def write_atomic(path: Path, content: bytes | str, before: Callable[[], None] = lambda: None) -> None:
    """Write `content` to `path`: a reader sees the old file or the new one. Make its folder. `before` runs just before the rename.

    Raises OSError, whose `filename` is `path`.
    """
    with replacing(path, before) as scratch:
        scratch.write_bytes(content.encode() if isinstance(content, str) else content)


def write_json(path: Path, content: Any) -> None:
    """Write `content` to `path` as JSON, as `write_atomic` does."""
    write_atomic(path, to_json(content))


def to_json(content: Any) -> str:
    """The text of a JSON file."""
    return json.dumps(content, indent=1) + "\n"


@contextmanager
def replacing(path: Path, before: Callable[[], None] = lambda: None) -> Iterator[Path]:
    """A scratch path in the folder of `path`; write the file there. At the end of the block it is flushed to disk and renamed to `path`.

    After an error in the block the scratch file is removed and `path` is as before. Raises OSError, whose `filename` is `path`.
    """
    scratch = path.with_name(f".{path.name}.{uuid4().hex[:8]}")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        yield scratch
        flush(scratch)
        before()
        os.replace(scratch, path)
        _flush_folder(path.parent)
    except BaseException as error:
        with suppress(OSError):
            scratch.unlink(missing_ok=True)
        if isinstance(error, OSError) and error.filename in (None, scratch, str(scratch)):
            error.filename = str(path)  # a failed write does not name its file
        raise


def flush(path: Path) -> None:
    """Make the content of file `path` outlast a power failure."""
    with open(path, "r+b") as f:
        os.fsync(f.fileno())


def _flush_folder(folder: Path) -> None:
    """Make renames in `folder` outlast a power failure, where the file system can."""
    with suppress(OSError):  # some network file systems refuse; the file itself is on the disk
        handle = os.open(folder, os.O_RDONLY)
        try:
            os.fsync(handle)
        finally:
            os.close(handle)


def remove_scratch(folder: Path, name: str = "") -> None:
    """Remove the scratch files of killed processes in `folder` whose names begin with `name`. The caller holds the lock on these files."""
    for path in folder.glob(f".{name}*"):
        if SCRATCH.fullmatch(path.name) and not path.is_dir():
            path.unlink(missing_ok=True)


@contextmanager
def scratch_folder(parent: Path) -> Iterator[Path]:
    """An empty folder in `parent`, removed at the end of the block unless it was renamed. Raises OSError.

    The folder is locked meanwhile; unlocked scratch folders in `parent`, which killed processes left, are removed first.
    """
    parent.mkdir(parents=True, exist_ok=True)
    for abandoned in parent.glob(f"{SCRATCH_FOLDER}*"):
        with suppress(OSError), _locked(abandoned):
            shutil.rmtree(abandoned, ignore_errors=True)
    with ExitStack() as stack:
        folder = _new_folder(parent, stack)
        try:
            yield folder
        finally:
            shutil.rmtree(folder, ignore_errors=True)


def _new_folder(parent: Path, stack: ExitStack) -> Path:
    """A new scratch folder in `parent`, locked until `stack` ends."""
    while True:
        folder = parent / f"{SCRATCH_FOLDER}{uuid4().hex[:8]}"
        folder.mkdir()
        try:
            stack.enter_context(_locked(folder))
        except (BlockingIOError, FileNotFoundError):
            continue  # another process took the folder for an abandoned one
        except OSError:
            return folder  # a file system without locks: no other process can lock the folder, and so none removes it
        if folder.exists():
            return folder


@contextmanager
def _locked(folder: Path) -> Iterator[None]:
    """Hold flock's lock on `folder`, which ends with its process. Raises BlockingIOError if another process holds it."""
    handle = os.open(folder, os.O_RDONLY)
    try:
        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        yield
    finally:
        os.close(handle)
