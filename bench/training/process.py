"""Settings of a process that trains: how its OpenMP threads wait, and what its allocator does with freed memory."""

from __future__ import annotations

import ctypes
import os
import sys
from pathlib import Path

from envs.files import user_cache

# Turns of a spin loop before a thread sleeps. An update is hundreds of short parallel sections: with a spin count of
# zero two threads were slower than one; without a limit training was ten times slower beside other processes.
OPENMP = {"GOMP_SPINCOUNT": "50000"}

TRIM_THRESHOLD, MMAP_THRESHOLD = -1, -3  # mallopt's parameters (malloc.h)
LARGEST_KEPT = 32 << 20  # bytes, glibc's maximum; larger blocks (data sets) are returned to the system
FREE_MEMORY_KEPT = 1 << 30  # bytes


def prepare_process() -> None:
    """Set up this process and its children for training. Call it before torch is imported, which reads OpenMP's variables once."""
    os.environ.setdefault("TORCHINDUCTOR_CACHE_DIR", str(compiled_code()))
    if "OMP_WAIT_POLICY" not in os.environ:
        for name, value in OPENMP.items():
            os.environ.setdefault(name, value)
    keep_freed_memory()


def compiled_code() -> Path:
    """The folder of compiled updates, which later runs and processes use again; it may be removed at any time."""
    return user_cache() / "inductor"


def keep_freed_memory() -> bool:
    """Tell glibc to keep freed memory for the next update; otherwise every update causes hundreds of page faults.

    Returns False, and changes nothing, with another allocator or where the environment already has settings for glibc's.
    """
    if not sys.platform.startswith("linux") or any(name == "GLIBC_TUNABLES" or name.startswith("MALLOC_") for name in os.environ):
        return False
    mallopt = getattr(ctypes.CDLL(None), "mallopt", None)
    return mallopt is not None and bool(mallopt(MMAP_THRESHOLD, LARGEST_KEPT)) and bool(mallopt(TRIM_THRESHOLD, FREE_MEMORY_KEPT))
