"""Memory that is freed stays with the process, for the next update to use.

Each update frees and takes the same tensors of some hundred kilobytes. glibc gives such pieces back to the system, which then has to fill
fresh pages with zeros: hundreds of page faults an update.
"""

from __future__ import annotations

import ctypes
import os
import sys

TRIM_THRESHOLD, MMAP_THRESHOLD = -1, -3  # mallopt's numbers (malloc.h)
LARGEST = 32 << 20  # bytes; pieces above it (data sets) are given back, and glibc accepts no more
KEPT = 1 << 30  # bytes


def keep_freed_memory() -> bool:
    """Ask glibc to; False where there is another allocator, or where whoever started the process has said how it should be."""
    if not sys.platform.startswith("linux") or any(name == "GLIBC_TUNABLES" or name.startswith("MALLOC_") for name in os.environ):
        return False
    mallopt = getattr(ctypes.CDLL(None), "mallopt", None)
    return mallopt is not None and bool(mallopt(MMAP_THRESHOLD, LARGEST)) and bool(mallopt(TRIM_THRESHOLD, KEPT))
