"""The code revision that results record."""

from __future__ import annotations

import shutil
import subprocess
import sys
from pathlib import Path

from tests.helpers.paths import ROOT


def git(folder: Path, *command: str) -> None:
    author = ["-c", "user.name=A", "-c", "user.email=a@example.org"]
    subprocess.run(["git", *author, *command], cwd=folder, check=True, capture_output=True)


def revision_in(folder: Path) -> str:
    code = "from envs.revision import code_revision; print(code_revision())"
    return subprocess.run([sys.executable, "-c", code], cwd=folder, check=True, capture_output=True, text=True).stdout.strip()


def test_changed_results_do_not_make_the_code_dirty(tmp_path: Path) -> None:
    """Changed tables do not mark a revision as dirty: git tracks them and every suite rewrites them."""
    (tmp_path / "envs").mkdir()
    (tmp_path / "results").mkdir()
    (tmp_path / "envs" / "__init__.py").write_text("")
    shutil.copy(ROOT / "envs" / "revision.py", tmp_path / "envs")
    (tmp_path / "results" / "table.md").write_text("before")
    git(tmp_path, "init")
    git(tmp_path, "add", "-A")
    git(tmp_path, "commit", "-m", "all")
    clean = revision_in(tmp_path)
    assert len(clean) == 12
    (tmp_path / "results" / "table.md").write_text("after")
    (tmp_path / "notes").write_text("not tracked")
    assert revision_in(tmp_path) == clean
    (tmp_path / "envs" / "__init__.py").write_text("# changed")
    assert revision_in(tmp_path) == f"{clean}-dirty"
