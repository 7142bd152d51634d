"""Files of unknown origin: read whole, with limits, and only if they are regular files below their own folder.

A link, pipe, device or folder in the place of a file is refused, and so is a link in the path below the folder: it could show any file of
this machine, or wait for ever. Numbers and names that come out are data; no value refers to a file, a variable or another value.
"""

from __future__ import annotations

import json
import os
import stat
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from envs.errors import DataError, first_line

JSON_BYTES = 4 << 20  # a run of 100,000 seeds has 1 MB
DEPTH = 32  # levels of nesting of JSON and YAML
TEXT = 1000  # characters of a text that is shown


def read_bytes(folder: Path, name: str, limit: int) -> bytes:
    """The content of file `name` below `folder`. Raises DataError for a file that is not regular or larger than `limit` bytes, OSError."""
    with opened(folder, name, limit) as file:
        content = b""
        while len(content) <= limit and (piece := os.read(file, min(limit + 1 - len(content), 1 << 26))):
            content = content + piece if content else piece
    if len(content) > limit:  # files of /proc have no size
        raise DataError(f"{folder / name}: is larger than {limit:,} bytes")
    return content


def read_text(folder: Path, name: str, limit: int = JSON_BYTES) -> str:
    """The content of UTF-8 file `name` below `folder`, as `read_bytes`. Raises DataError for other bytes."""
    try:
        return read_bytes(folder, name, limit).decode()
    except UnicodeDecodeError as error:
        raise DataError(f"{folder / name}: is no text (byte {error.start}: {error.reason})") from error


def read_json(folder: Path, name: str, limit: int = JSON_BYTES) -> Any:
    """The content of JSON file `name` below `folder`, as `read_text`. Raises DataError for a file that is no JSON or nested too deeply."""
    text = read_text(folder, name, limit)
    try:
        return parse_json(text)
    except ValueError as error:
        raise DataError(f"{folder / name}: is not JSON ({first_line(error)})") from error


def parse_json(text: str) -> Any:
    """The value of JSON `text`, nested at most DEPTH deep. Raises ValueError."""
    try:
        found = json.loads(text)
    except RecursionError:
        raise ValueError(f"nested more than {DEPTH} deep") from None
    check_depth(found)
    return found


def check_depth(value: Any) -> None:
    """Raise ValueError if lists and mappings are nested more than DEPTH deep. `value` shares no parts, as JSON does not."""
    level, depth = [value], 0
    while level := [item for outer in level if isinstance(outer, dict | list) for item in _items(outer)]:
        depth += 1
        if depth > DEPTH:
            raise ValueError(f"nested more than {DEPTH} deep")


def _items(value: dict[Any, Any] | list[Any]) -> list[Any]:
    return list(value.values()) if isinstance(value, dict) else value


def clean(text: str, limit: int = TEXT) -> str:
    """`text` on one line: characters that cannot be printed (control, direction, half characters) become spaces; cut after `limit`."""
    shown = text if len(text) <= limit else f"{text[:limit]}..."
    return shown if shown.isprintable() else "".join(c if c.isprintable() else " " for c in shown)


def clean_tree(value: Any, limit: int = TEXT) -> Any:
    """Plain data with every text cleaned, keys as texts. Nesting is at most DEPTH (`check_depth`)."""
    if isinstance(value, dict):
        return {clean(str(key)): clean_tree(item, limit) for key, item in value.items()}
    if isinstance(value, list):
        return [clean_tree(item, limit) for item in value]
    return clean(value, limit) if isinstance(value, str) else value


@contextmanager
def opened(folder: Path, name: str, limit: int | None = None) -> Iterator[int]:
    """The descriptor of regular file `name` below `folder`, open for reading. Raises DataError as `read_bytes`, OSError."""
    path, parts = folder / name, name.split("/")
    handles = []
    try:
        try:
            handles.append(os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC))
            for part in parts[:-1]:
                handles.append(os.open(part, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC, dir_fd=handles[-1]))
            # Without waiting for a pipe's other end, and without following a link.
            file = os.open(parts[-1], os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_NOCTTY | os.O_CLOEXEC, dir_fd=handles[-1])
            handles.append(file)
        except OSError as error:
            _refuse_link(folder, name)
            error.filename = str(path)
            raise
        status = os.fstat(file)
        if not stat.S_ISREG(status.st_mode):
            raise DataError(f"{path}: is no regular file; expected one")
        if limit is not None and status.st_size > limit:
            raise DataError(f"{path}: has {status.st_size:,} bytes; expected at most {limit:,}")
        yield file
    finally:
        for handle in reversed(handles):
            os.close(handle)


def check_file(folder: Path, name: str, limit: int | None = None) -> Path:
    """The path of regular file `name` below `folder`, for libraries that open by name. Raises as `opened`."""
    with opened(folder, name, limit):
        return folder / name


def _refuse_link(folder: Path, name: str) -> None:
    """Raise DataError if a part of `name` below `folder` is a link, or no file that can be opened."""
    path = folder
    for part in name.split("/"):
        path = path / part
        try:
            mode = os.lstat(path).st_mode
        except OSError:
            return
        if stat.S_ISLNK(mode):
            raise DataError(f"{path}: is a link; expected a file or folder in its place")
        if not (stat.S_ISREG(mode) or stat.S_ISDIR(mode)):
            raise DataError(f"{path}: is no regular file; expected one")


def refuse_link(path: Path) -> None:
    """Raise DataError if `path` is a link: what is written there would change files outside its folder."""
    if path.is_symlink():
        raise DataError(f"{path}: is a link; expected a file or folder in its place; remove it")


def refuse_folder(path: Path) -> None:
    """Raise DataError if `path` is a folder, which no file can replace."""
    if path.is_dir() and not path.is_symlink():
        raise DataError(f"{path}: is a folder; expected a file in its place; remove it")


def check_tree(folder: Path) -> None:
    """Raise DataError if anything below `folder` is neither a regular file nor a folder, or if folders are nested more than DEPTH deep."""
    waiting = [(folder, 0)]
    while waiting:
        inner, depth = waiting.pop()
        if depth > DEPTH:
            raise DataError(f"{folder}: folders are nested more than {DEPTH} deep")
        with os.scandir(inner) as entries:
            for entry in entries:
                if entry.is_symlink():
                    raise DataError(f"{entry.path}: is a link; expected a file or folder in its place")
                if entry.is_dir():
                    waiting.append((Path(entry.path), depth + 1))
                elif not entry.is_file():
                    raise DataError(f"{entry.path}: is no regular file; expected one")
