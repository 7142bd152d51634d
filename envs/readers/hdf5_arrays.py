"""Arrays of an HDF5 file of any origin: opened only if all of their bytes are in the file itself.

HDF5 can take an array from other files of the machine: through an external link, external raw storage or a virtual data set. All of these
are refused, and so are soft links, which may lead to them. The check precedes the opening of every object on the path, because the opening
alone follows a link.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import h5py
import numpy as np

from envs.untrusted import check_file

MAX_EXPANSION = 2000  # ratio of an array's size to its file's: no compression reaches it, so the header is wrong
DAMAGE = (OSError, RuntimeError, KeyError, ValueError, TypeError, OverflowError, AttributeError, MemoryError)
"""Errors of h5py for damaged files."""
KINDS = {h5py.h5l.TYPE_SOFT: "a soft link", h5py.h5l.TYPE_EXTERNAL: "a link to another file"}


class ElsewhereError(Exception):
    """An array that is not stored in the file itself; the message says how."""


def open_file(folder: Path, name: str, access: Any = None) -> Any:
    """HDF5 file `name` below `folder`, open for reading, as h5py's low-level FileID. Raises DataError for a file that is not regular,
    OSError for one that is absent or no HDF5."""
    path = check_file(folder, name)
    return h5py.h5f.open(str(path).encode(), h5py.h5f.ACC_RDONLY, *(() if access is None else (access,)))


def open_array(group: Any, path: str) -> Any:
    """The array at `path` in `group` (h5py's low-level GroupID), as DatasetID.

    Raises ElsewhereError, and one of DAMAGE for an array that is absent or cannot be opened.
    """
    *parts, last = path.encode().split(b"/")
    for part in parts:
        _check_link(group, part)
        group = h5py.h5g.open(group, part)
    _check_link(group, last)
    array = h5py.h5d.open(group, last)
    properties = array.get_create_plist()
    if properties.get_layout() == h5py.h5d.VIRTUAL:
        raise ElsewhereError("it is a virtual data set, made of other arrays")
    if properties.get_external_count():
        raise ElsewhereError("its values are stored in another file")
    return array


def _check_link(group: Any, name: bytes) -> None:
    """Raise ElsewhereError unless `name` in `group` is an object of the file; RuntimeError if it is absent."""
    kind = group.links.get_info(name).type
    if kind != h5py.h5l.TYPE_HARD:
        raise ElsewhereError(f"{name.decode(errors='replace')} is {KINDS.get(kind, 'a link of an unknown kind')}")


def claimed_bytes(array: Any) -> int:
    """The bytes that `array` claims to need in memory: all of it, or one compressed block if that is larger."""
    properties, item = array.get_create_plist(), array.dtype.itemsize
    block = properties.get_chunk() if properties.get_layout() == h5py.h5d.CHUNKED else ()
    return item * max(int(np.prod(shape, dtype=object)) for shape in (array.shape, block or (0,)))
