"""Copies of loaded data sets, memory-mapped, in folders named by their digest.

<root>/.cache/<digest>/<array>.npy    the arrays of `Trajectories`, `partial` where the data state it
<root>/.cache/index/<key>.json        the digest, and the rest of `LoggedData` (bounds, environment, reference). The key is a hash of the
                                      expression, of the name, size and time of every file, and of the versions that affect reading

A copy is compared with its digest when it is opened, unless it is larger than CHECKED. The folder may be removed at any time. Arrays are
filled in place, so a data set may be larger than memory. A root that cannot be written has no cache.
"""

from __future__ import annotations

import contextlib
import errno
import hashlib
import json
import math
import mmap
import os
import re
import sys
from collections.abc import Iterable
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np
import torch

from envs.data.references import built_in_table
from envs.data.trajectories import TENSORS, Trajectories
from envs.errors import DataError
from envs.files import scratch_folder, write_atomic
from envs.untrusted import opened, read_json

DIGEST = re.compile(r"[0-9a-f]{64}")
INDEX_BYTES = 16 << 20
CHECKED = 2 * 2**30  # bytes of arrays; checking a larger copy takes as long as reading the data set again
FORMAT = 8  # raised when the same files are read differently
# Linux refuses a copy-on-write map larger than memory without this flag, which Python 3.11 does not name. x86, ARM and RISC-V.
MAP_NORESERVE = 0x4000 if sys.platform == "linux" else 0


def key_of(expression: str, folders: Iterable[Path]) -> str:
    """The key of `expression` and the files in `folders`."""
    sha = hashlib.sha256(repr((FORMAT, built_in_table(), expression, *(version(p) for p in ("gymnasium", "minari")))).encode())
    for folder in folders:
        for path in sorted(p for p in folder.rglob("*") if p.is_file()):
            stat = path.stat()
            sha.update(f"{path}\0{stat.st_size}\0{stat.st_mtime_ns}\0".encode())
    return sha.hexdigest()[:32]


class Cache:
    """The cache in Minari's root `root`."""

    def __init__(self, root: Path) -> None:
        self.folder = root / ".cache"

    def find(self, key: str) -> tuple[Trajectories, dict[str, Any]] | None:
        """The data kept under `key`, memory-mapped, and the index entry; None if either is absent or damaged."""
        try:
            about = read_json(self.folder, f"index/{key}.json", INDEX_BYTES)
            digest = about["digest"]
            if not DIGEST.fullmatch(digest):  # it names a folder
                raise ValueError("digest")
            arrays = [_mapped(self.folder, f"{digest}/{name}.npy") for name in TENSORS]
            partial = torch.from_numpy(_mapped(self.folder, f"{digest}/partial.npy")) if about["partial"] else None
            if about.pop("check") != checksum(about):
                raise ValueError("index")
            trajectories = Trajectories.from_tensors(map(torch.from_numpy, arrays), about["num_actions"], partial)
            if sum(a.nbytes for a in arrays) <= CHECKED and trajectories.digest != digest:
                raise ValueError("arrays")
        except FileNotFoundError:
            return None
        except (OSError, DataError, ValueError, KeyError, TypeError, AttributeError, EOFError, RuntimeError):
            print(f"{self.folder}: a copy is damaged; reading the data set again", file=sys.stderr, flush=True)
            return None
        vars(trajectories)["digest"] = digest  # to compute it again would read all data
        return trajectories, about

    def scratch(self) -> Scratch | None:
        """A scratch folder for arrays, or None if the root cannot be written."""
        stack = contextlib.ExitStack()
        try:
            return Scratch(self, stack.enter_context(scratch_folder(self.folder)), stack)
        except OSError:
            return None


def _mapped(folder: Path, name: str) -> np.ndarray:
    """The array in .npy file `name`, memory-mapped, copied on write: the file never changes. Raises OSError, DataError, ValueError."""
    with opened(folder, name) as file, os.fdopen(file, "rb", closefd=False) as f:
        if np.lib.format.read_magic(f) != (1, 0):
            raise ValueError("a version that the cache does not write")
        shape, _, dtype = np.lib.format.read_array_header_1_0(f)
        buffer = mmap.mmap(f.fileno(), 0, mmap.MAP_PRIVATE | MAP_NORESERVE, mmap.PROT_READ | mmap.PROT_WRITE)
        return np.frombuffer(buffer, dtype, math.prod(shape), f.tell()).reshape(shape)


def checksum(about: dict[str, Any]) -> str:
    """SHA-256 of an index entry."""
    return hashlib.sha256(json.dumps(about, sort_keys=True).encode()).hexdigest()


class Scratch:
    """Arrays before they are kept in the cache. A context manager; arrays that were not kept are removed."""

    def __init__(self, cache: Cache, folder: Path, stack: contextlib.ExitStack) -> None:
        self.cache, self.folder, self.stack = cache, folder, stack

    def __enter__(self) -> Scratch:
        return self

    def __exit__(self, *_: object) -> None:
        self.stack.close()

    def allocate(self, name: str, shape: tuple[int, ...], dtype: type) -> np.ndarray:
        """A memory-mapped array to fill. Raises OSError if the disk has no space for it."""
        path = self.folder / f"{name}.npy"
        array = np.lib.format.open_memmap(path, "w+", dtype, shape)
        with open(path, "r+b") as f:
            if hasattr(os, "posix_fallocate"):  # makes a full disk an error here, not a bus error later
                os.posix_fallocate(f.fileno(), 0, os.fstat(f.fileno()).st_size)
        return array

    def keep(self, key: str, trajectories: Trajectories, about: dict[str, Any]) -> None:
        """Keep `trajectories`, whose arrays were allocated here, and the rest of their LoggedData under `key`. Raises OSError."""
        np.save(self.folder / "offsets.npy", trajectories.offsets.numpy())
        if trajectories.partial is not None:
            np.save(self.folder / "partial.npy", trajectories.partial.numpy())
        final = self.cache.folder / trajectories.digest
        with scratch_folder(self.cache.folder) as aside, contextlib.suppress(FileNotFoundError):
            os.replace(final, aside)  # damaged, or the same data from another source
        try:
            os.replace(self.folder, final)
        except OSError as error:  # another process was faster by a moment, with the same data
            if error.errno not in (errno.ENOTEMPTY, errno.EEXIST):
                raise
        found = {"digest": trajectories.digest, "num_actions": trajectories.num_actions, "partial": trajectories.partial is not None}
        about = json.loads(json.dumps(about | found))
        write_atomic(self.cache.folder / "index" / f"{key}.json", json.dumps(about | {"check": checksum(about)}))
