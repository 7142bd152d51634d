"""Read once, then memory-mapped: a copy of a loaded data set, in a folder named by its digest.

<root>/.cache/<digest>/<array>.npy    the arrays of `Trajectories`, as they are used
<root>/.cache/index/<key>.json        the digest of what some files hold, and what else is known of them (bounds, environment, reference);
                                      the key is a hash of the expression, of the name, size and time of every file, and of the
                                      versions that decide what is read

What is opened is compared with its digest, unless it is larger than CHECKED: to read that much again would undo the point. The folder may
be removed at any time. A data set larger than memory is never in memory: its arrays are filled where they lie.
A root that cannot be written has no cache.
"""

from __future__ import annotations

import contextlib
import errno
import hashlib
import json
import math
import mmap
import os
import sys
from collections.abc import Iterable
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np
import torch

from envs.data.trajectories import TENSORS, Trajectories
from envs.files import scratch_folder, write_atomic

CHECKED = 2 * 2**30  # bytes
FORMAT = 2  # raised when the same files are read differently
# Without it Linux refuses a copy-on-write map that is larger than memory. The value on x86, ARM and RISC-V; Python 3.11 has no name for it.
MAP_NORESERVE = 0x4000 if sys.platform == "linux" else 0


def key_of(expression: str, folders: Iterable[Path]) -> str:
    """The key of the files in `folders`, as `expression` asks for them."""
    sha = hashlib.sha256(repr((FORMAT, expression, *(version(p) for p in ("gymnasium", "minari")))).encode())
    for folder in folders:
        for path in sorted(p for p in folder.rglob("*") if p.is_file()):
            stat = path.stat()
            sha.update(f"{path}\0{stat.st_size}\0{stat.st_mtime_ns}\0".encode())
    return sha.hexdigest()[:32]


class Cache:
    """The cache below Minari's root `root`."""

    def __init__(self, root: Path) -> None:
        self.folder = root / ".cache"

    def find(self, key: str) -> tuple[Trajectories, dict[str, Any]] | None:
        """What was kept under `key`, memory-mapped; None if it is not whole."""
        try:
            about = json.loads((self.folder / "index" / f"{key}.json").read_text())
            digest = about["digest"]
            arrays = [_mapped(self.folder / digest / f"{name}.npy") for name in TENSORS]
            if about.pop("check") != _check(about):
                raise ValueError("index")
            trajectories = Trajectories.from_tensors(map(torch.from_numpy, arrays), about["num_actions"])
            if sum(a.nbytes for a in arrays) <= CHECKED and trajectories.digest != digest:
                raise ValueError("arrays")
        except FileNotFoundError:
            return None
        except (OSError, ValueError, KeyError, TypeError, EOFError, RuntimeError):
            print(f"{self.folder}: a copy in it is damaged; the data set is read again", file=sys.stderr, flush=True)
            return None
        vars(trajectories)["digest"] = digest  # known: reading everything to compute it again would undo the point
        return trajectories, about

    def scratch(self) -> Scratch | None:
        """A place to fill arrays in, or None where the root cannot be written."""
        stack = contextlib.ExitStack()
        try:
            return Scratch(self, stack.enter_context(scratch_folder(self.folder)), stack)
        except OSError:
            return None


def _mapped(path: Path) -> np.ndarray:
    """The array of .npy file `path`, memory-mapped and copied on write: it can never change on disk. Raises OSError, ValueError."""
    with open(path, "rb") as f:
        if np.lib.format.read_magic(f) != (1, 0):
            raise ValueError("not a version that the cache writes")
        shape, _, dtype = np.lib.format.read_array_header_1_0(f)
        buffer = mmap.mmap(f.fileno(), 0, mmap.MAP_PRIVATE | MAP_NORESERVE, mmap.PROT_READ | mmap.PROT_WRITE)
        return np.frombuffer(buffer, dtype, math.prod(shape), f.tell()).reshape(shape)


def _check(about: dict[str, Any]) -> str:
    return hashlib.sha256(json.dumps(about, sort_keys=True).encode()).hexdigest()


class Scratch:
    """Arrays on their way into the cache. Use as a context manager: what was not kept is removed."""

    def __init__(self, cache: Cache, folder: Path, stack: contextlib.ExitStack) -> None:
        self.cache, self.folder, self.stack = cache, folder, stack

    def __enter__(self) -> Scratch:
        return self

    def __exit__(self, *_: object) -> None:
        self.stack.close()

    def allocate(self, name: str, shape: tuple[int, ...], dtype: type) -> np.ndarray:
        """A memory-mapped array to fill. Raises OSError where there is no space for it."""
        path = self.folder / f"{name}.npy"
        array = np.lib.format.open_memmap(path, "w+", dtype, shape)
        with open(path, "r+b") as f:
            os.posix_fallocate(f.fileno(), 0, os.fstat(f.fileno()).st_size)  # a full disk is an error here, not a bus error later
        return array

    def keep(self, key: str, trajectories: Trajectories, about: dict[str, Any]) -> None:
        """Keep `trajectories`, whose arrays were allocated here, under `key`. Raises OSError."""
        np.save(self.folder / "offsets.npy", trajectories.offsets.numpy())
        final = self.cache.folder / trajectories.digest
        with scratch_folder(self.cache.folder) as aside, contextlib.suppress(FileNotFoundError):
            os.replace(final, aside)  # damaged, or the same data from another source
        try:
            os.replace(self.folder, final)
        except OSError as error:  # another process was faster by a moment, with the same data
            if error.errno not in (errno.ENOTEMPTY, errno.EEXIST):
                raise
        about = json.loads(json.dumps(about | {"digest": trajectories.digest, "num_actions": trajectories.num_actions}))
        write_atomic(self.cache.folder / "index" / f"{key}.json", json.dumps(about | {"check": _check(about)}))
