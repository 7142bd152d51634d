"""The project's own rules that a search can hold."""

import ast
from pathlib import Path

import pytest

from tests.helpers.paths import ROOT

SOURCES = [p for room in ("algos", "bench", "envs") for p in sorted((ROOT / room).rglob("*.py"))]


def imported_rooms(path: Path) -> set[str]:
    nodes = list(ast.walk(ast.parse(path.read_text())))
    names = [a.name for n in nodes if isinstance(n, ast.Import) for a in n.names]
    names += [n.module for n in nodes if isinstance(n, ast.ImportFrom) and n.module]
    return {name.split(".")[0] for name in names} & {"algos", "bench", "envs"}


@pytest.mark.parametrize("path", SOURCES, ids=lambda p: str(p.relative_to(ROOT)))
def test_imports_go_one_way(path: Path) -> None:
    room = path.relative_to(ROOT).parts[0]
    allowed = {"bench": {"algos", "bench", "envs"}}.get(room, {room})
    assert imported_rooms(path) <= allowed
