"""docs/adding-a-method.md, followed in a copy of the tree: its files make a method that trains, and lint and tests pass."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tests.helpers.episodes import PENDULUM
from tests.helpers.paths import ROOT

PAGE = (ROOT / "docs" / "adding-a-method.md").read_text()
FILES = dict(re.findall(r"```(?:python|yaml)\n# (\S+)\n(.*?)```", PAGE, re.DOTALL))
COMMANDS = [line for block in re.findall(r"```bash\n(.*?)```", PAGE, re.DOTALL) for line in block.splitlines()]
ADDED = ("xql", "return_weighted")
ENUMERATE = ("algos/test_learners.py", "algos/test_members.py", "bench/config")  # tests of every method


def ignored_names(folder: str, names: list[str]) -> set[str]:
    """The names in `folder` that are no part of the tree: built files, caches, and a user's own results."""
    built = {"__pycache__", *(n for n in names if n.endswith(("_cache", ".egg-info")))}
    own = {ROOT: {".git", ".venv", "build", "dist"}, ROOT / "results": set(names) - {"README.md", "reference"}}
    return built | own.get(Path(folder), set())


@pytest.fixture(scope="module")
def checkout(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A copy of the tree with the page's files."""
    folder = tmp_path_factory.mktemp("copy") / "tree"
    shutil.copytree(ROOT, folder, ignore=ignored_names)
    for name, text in FILES.items():
        (folder / name).write_text(text)
    return folder


def run(folder: Path, *command: str) -> str:
    """The output of a command of this Python's environment in `folder`, which must succeed."""
    program = str(Path(sys.executable).parent / command[0])
    environment = os.environ | {"PYTHONPATH": str(folder)}
    done = subprocess.run([program, *command[1:]], cwd=folder, env=environment, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def test_the_page_adds_a_method_and_a_weighting_rule_each_with_a_configuration_and_a_test() -> None:
    names = [[f"algos/methods/{name}.py", f"conf/algo/{name}.yaml", f"tests/algos/methods/test_{name}.py"] for name in ADDED]
    assert list(FILES) == [file for own in names for file in own]
    assert [command.split()[0] for command in COMMANDS] == ["python", "make", "python", "python"]


def test_files_that_the_page_names_exist() -> None:
    for path in re.findall(r"`((?:algos|conf|tests|bench)/[\w/.]+\.(?:py|yaml))`", PAGE):
        assert (ROOT / path).exists(), path


@pytest.mark.parametrize("name", [ADDED[0], pytest.param(ADDED[1], marks=pytest.mark.slow)])
def test_the_method_trains(checkout: Path, tmp_path: Path, pendulum_data: Callable[..., Any], name: str) -> None:
    """The page's command trains the method, here on smaller data and for fewer updates."""
    pendulum_data(ref_min_score=5.0, ref_max_score=1000.0)
    command = next(command for command in COMMANDS if f" algo={name} " in command)
    arguments = command.removeprefix("python -m bench ").split()
    smaller = (f"dataset={PENDULUM}", "algo.updates=20", "algo.hidden=[8]", "seeds=[0,1]", "eval.every=10", "eval.episodes=1")
    rest = ("eval.final_episodes=2", "eval.workers=1", "device=cpu", f"results_dir={tmp_path / 'results'}")
    kept = [a for a in arguments if not a.startswith(("dataset=", "algo.updates=", "algo.warmup="))]
    rest = (*rest, *(("algo.warmup=0", "pi_ref.updates=5") if name != "xql" else ()))
    run(checkout, "python", "-m", "bench", *kept, *smaller, *rest)
    (left,) = (tmp_path / "results").glob(f"single/runs/*-{name}-*")
    assert len((left / "episodes.csv").read_text().splitlines()) == 1 + 2 * (1 + 2)


def test_lint_passes(checkout: Path) -> None:
    files = [name for name in FILES if name.endswith(".py")]
    run(checkout, "ruff", "check", *files)
    run(checkout, "ruff", "format", "--check", *files)
    run(checkout, "mypy", "--cache-dir", str(ROOT / ".mypy_cache"), *(f"algos/methods/{name}.py" for name in ADDED))


@pytest.mark.slow
def test_the_tests_of_every_method_cover_the_new_one(checkout: Path) -> None:
    """Tests that enumerate methods pass with the new method as parameter, and so do tests of methods without parameters."""
    tests = [f"tests/{name}" for name in (*ENUMERATE, *(f"algos/methods/test_{name}.py" for name in ADDED))]
    said = run(checkout, "python", "-m", "pytest", "-p", "no:cacheprovider", *tests, "-k", f"{' or '.join(ADDED)} or method or suite")
    assert int(re.findall(r"(\d+) passed", said)[-1]) >= 20, said


@pytest.mark.slow
def test_lint_and_all_fast_tests_pass(checkout: Path) -> None:
    """`make lint test`, as the page asks for, passes without this file."""
    run(checkout, "ruff", "check", ".")
    run(checkout, "ruff", "format", "--check", ".")
    run(checkout, "mypy")
    for command in (["init", "-q"], ["add", "-A"], ["-c", "user.name=test", "-c", "user.email=test@localhost", "commit", "-qm", "copy"]):
        subprocess.run(["git", *command], cwd=checkout, check=True)
    run(checkout, "python", "-m", "pytest", "-m", "not slow and not browser", "--ignore", f"tests/{Path(__file__).name}")
