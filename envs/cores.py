"""The CPU cores of this process."""

from __future__ import annotations

import os


def available_cores() -> int:
    """CPU cores that this process may run on; all cores where the system does not say, as on macOS."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
