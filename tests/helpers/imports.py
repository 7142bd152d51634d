"""Imports between the modules of the source tree, at module level and inside functions, read from the syntax."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from pathlib import Path

from tests.helpers.paths import ROOT

ROOMS = ("algos", "bench", "envs")


@dataclass(frozen=True)
class Import:
    """One import statement: importer and imported are dotted module names of this project."""

    importer: str
    imported: str
    line: int
    lazy: bool
    """True inside a function."""

    def __str__(self) -> str:
        return f"{self.importer}:{self.line} imports {self.imported}"


@cache
def modules() -> dict[str, Path]:
    """Dotted name and file of every module of the three rooms; a package has the name of its folder."""
    files = [path for room in ROOMS for path in sorted((ROOT / room).rglob("*.py"))]
    return {".".join(path.relative_to(ROOT).with_suffix("").parts).removesuffix(".__init__"): path for path in files}


@cache
def imports() -> tuple[Import, ...]:
    """Every import between modules of the three rooms, without those for the type checker alone."""
    return tuple(found for name, path in modules().items() for found in _of(name, path))


def _of(name: str, path: Path) -> Iterator[Import]:
    tree = ast.parse(path.read_text())
    inside = name if path.name == "__init__.py" else name.rpartition(".")[0]
    lazy = {id(node) for f in ast.walk(tree) if isinstance(f, ast.FunctionDef | ast.AsyncFunctionDef | ast.Lambda) for node in ast.walk(f)}
    typing = {
        id(node)
        for test in ast.walk(tree)
        if isinstance(test, ast.If) and "TYPE_CHECKING" in ast.dump(test.test)
        for node in ast.walk(test)
    }
    for node in ast.walk(tree):
        if id(node) in typing:
            continue
        if isinstance(node, ast.Import):
            names = [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            base = node.module or ""
            if node.level:
                parts = inside.split(".")
                base = ".".join([*parts[: len(parts) - node.level + 1], *filter(None, [node.module])])
            names = [f"{base}.{alias.name}" if f"{base}.{alias.name}" in modules() else base for alias in node.names]
        else:
            continue
        for imported in dict.fromkeys(names):
            if imported.split(".")[0] in ROOMS:
                yield Import(name, imported, node.lineno, id(node) in lazy)
