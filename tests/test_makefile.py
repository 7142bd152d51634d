"""The Makefile's help, its quiet pip and its skipped image, with programs that only record how they are called."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
from pathlib import Path

import pytest

from tests.helpers.paths import ROOT

RECORDER = """#!/bin/sh
echo "$@" >> calls
env | grep ^PIP_ >> calls
"""
UNAVAILABLE = """#!/bin/sh
echo "Cannot connect to the Docker daemon" >&2
exit 1
"""


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A folder with the Makefile and a `.venv` whose Python records its calls and prints nothing."""
    for name in ("Makefile", "pyproject.toml", "constraints.txt"):
        shutil.copy(ROOT / name, tmp_path)
    program(tmp_path / ".venv/bin/python", RECORDER)
    return tmp_path


def program(path: Path, text: str) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)
    path.chmod(0o755)


def make(folder: Path, *targets: str, path: str = "") -> str:
    """The output of `make TARGETS` on both streams."""
    environment = {"PATH": f"{path}:{os.environ['PATH']}", "HOME": str(folder)}
    return subprocess.run(
        ["make", *targets], cwd=folder, env=environment, check=True, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
    ).stdout


def test_make_alone_lists_every_target_and_does_nothing(folder: Path) -> None:
    shutil.rmtree(folder / ".venv")
    printed = make(folder)
    phony = re.search(r"\.PHONY: (.*?)\n(?!\t)", (ROOT / "Makefile").read_text(), re.DOTALL)[1].replace("\\\n", "").split()  # type: ignore[index]
    for target in {*phony, "extra-%"} - {"venv"}:
        assert re.search(rf"^  make {re.escape(target)} +\S", printed, re.MULTILINE), target
    assert not (folder / ".venv").exists()


def test_pip_prints_errors_alone(folder: Path) -> None:
    assert make(folder, "extra-wandb", "wheel") == "installing the suite's packages\ninstalling the extra 'wandb'\n"
    calls = (folder / "calls").read_text()
    assert len(re.findall("^-m pip (install|wheel) ", calls, re.MULTILINE)) == 3
    for setting in ("PIP_QUIET=2", "PIP_DISABLE_PIP_VERSION_CHECK=1", "PIP_ROOT_USER_ACTION=ignore"):
        assert calls.count(f"{setting}\n") == 3


def test_the_image_is_skipped_in_one_line_where_no_daemon_answers(folder: Path) -> None:
    program(folder / "bin/docker", UNAVAILABLE)
    assert make(folder, "docker", path=str(folder / "bin")) == "skipped: no Docker daemon answers here\n"


def test_the_image_is_built_where_docker_is(folder: Path) -> None:
    program(folder / "bin/docker", RECORDER)
    assert make(folder, "docker", path=str(folder / "bin")) == "built iwsft-bench\n"
    assert re.findall(r"^(?!PIP_)\w+", (folder / "calls").read_text(), re.MULTILINE) == ["info", "build", "run"]
