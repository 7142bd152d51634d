"""Which code this is."""

from __future__ import annotations

import subprocess
from functools import cache
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path


@cache
def code_revision() -> str:
    """The git commit of the checkout (with `-dirty` if files differ from it), or the version of the installed package."""
    here = Path(__file__).resolve().parent
    command = ["git", "-C", str(here), "describe", "--always", "--dirty", "--abbrev=12", "--exclude=*"]
    if (here.parent / ".git").exists():
        try:
            return subprocess.run(command, capture_output=True, text=True, check=True, timeout=10).stdout.strip()
        except (OSError, subprocess.SubprocessError):
            return "unknown"
    try:
        return version("iwsft-bench")
    except PackageNotFoundError:
        return "unknown"
