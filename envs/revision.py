"""The revision of this code."""

from __future__ import annotations

import subprocess
from functools import cache
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path


@cache
def code_revision() -> str:
    """The git commit of the checkout, with `-dirty` if files other than results changed; without a checkout the package's version."""
    root = Path(__file__).resolve().parents[1]
    if (root / ".git").exists():
        try:
            commit = _git(root, "rev-parse", "--short=12", "HEAD")
            changed = _git(root, "status", "--porcelain", "--untracked-files=no", "--", ".", ":(exclude)results")
            return commit + ("-dirty" if changed else "")
        except (OSError, subprocess.SubprocessError):
            return "unknown"
    try:
        return version("iwsft-bench")
    except PackageNotFoundError:
        return "unknown"


def _git(root: Path, *command: str) -> str:
    return subprocess.run(["git", "-C", str(root), *command], capture_output=True, text=True, check=True, timeout=10).stdout.strip()
