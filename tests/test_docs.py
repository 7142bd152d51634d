"""docs/adding-a-method.md: its code, put where it says, makes a method that trains, passes the page's test and the common ones."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from tests.helpers.paths import ROOT

PAGE = (ROOT / "docs" / "adding-a-method.md").read_text()
BLOCKS = re.findall(r"```(?:python|yaml)\n# (\S+)\n(.*?)```", PAGE, re.DOTALL)


@pytest.fixture(scope="module")
def checkout(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A copy of the code with what the page adds to it."""
    folder = tmp_path_factory.mktemp("checkout")
    for room in ("algos", "bench", "conf", "envs"):
        shutil.copytree(ROOT / room, folder / room, ignore=shutil.ignore_patterns("*.safetensors", "__pycache__"))
    (folder / "tests").mkdir()
    for name in ("rl_cases.py", "test_learners.py"):
        shutil.copy(ROOT / "tests" / name, folder / "tests" / name)
    for name, code in BLOCKS:
        path = folder / name
        path.write_text((path.read_text() + "\n" if path.exists() else "") + code)
    cases = folder / "tests" / "rl_cases.py"
    cases.write_text(cases.read_text().replace("LEARNERS = (", 'LEARNERS = ("xql", '))
    return folder


def test_the_page_names_every_file_once() -> None:
    assert [name for name, _ in BLOCKS] == ["algos/xql.py", "conf/algo/xql.yaml", "algos/registry.py", "tests/test_xql.py"]


def test_the_pages_method_passes_its_tests_and_the_common_ones(checkout: Path) -> None:
    command = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "tests", "-k", "xql"]
    done = subprocess.run(command, cwd=checkout, env=os.environ | {"PYTHONPATH": str(checkout)}, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr
    passed = int(re.search(r"(\d+) passed", done.stdout).group(1))  # type: ignore[union-attr]
    assert passed >= 9, done.stdout


def test_the_suite_has_no_such_method_of_its_own() -> None:
    """Else the copy would prove nothing."""
    assert not (ROOT / "algos" / "xql.py").exists()


def test_what_the_page_points_at_exists() -> None:
    for path in re.findall(r"`((?:algos|conf|tests|bench)/[\w/.]+\.(?:py|yaml))`", PAGE):
        assert (ROOT / path).exists(), path
