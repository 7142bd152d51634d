"""The project's own rules that a search can hold."""

import ast
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
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


@pytest.mark.parametrize("path", SOURCES, ids=lambda p: str(p.relative_to(ROOT)))
def test_nothing_is_unpickled(path: Path) -> None:
    for node in ast.walk(ast.parse(path.read_text())):
        assert not (isinstance(node, ast.Import) and any(a.name in ("pickle", "dill", "joblib") for a in node.names))
        if isinstance(node, ast.Call):
            assert ast.unparse(node.func) not in ("torch.load", "pd.read_pickle")
            assert not any(k.arg == "allow_pickle" for k in node.keywords)
