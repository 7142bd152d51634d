"""The keys of the configuration as text for `python -m bench --help`: name, default and comment, read from schema.py.

The source is parsed, not imported: the schema imports torch, which takes seconds.
"""

from __future__ import annotations

import ast
import textwrap
from collections.abc import Iterator
from importlib.resources import files
from importlib.resources.abc import Traversable

WIDTH = 100  # columns
INDENT = 40  # of a key's comment


def keys() -> str:
    """One entry per key of `Config`, groups included, such as `eval.every=500  updates between evaluations`."""
    source = files("bench.config").joinpath("schema.py").read_text()
    classes = {node.name: node for node in ast.parse(source).body if isinstance(node, ast.ClassDef)}
    return "\n".join(
        entry(f"  {key}={default}", comment) for key, default, comment in _keys("Config", "", classes, source.splitlines()) if key != "algo"
    )


def groups() -> str:
    """One entry per group of conf/: `logger = jsonl, none, ...`."""
    conf = files("conf")
    folders = [f for f in conf.iterdir() if f.is_dir() and f.name not in ("hydra", "__pycache__")]
    found = {folder.name: _options(folder) for folder in sorted(folders, key=lambda f: f.name)}
    for group in ("launcher", "sweeper"):
        own = ["basic", "population"] if group == "launcher" else ["basic"]  # Hydra's and hydra_plugins/
        found[f"hydra/{group}"] = sorted([*own, *_options(conf.joinpath("hydra", group))])
    lines = [textwrap.fill(", ".join(names), WIDTH, initial_indent=f"  {g} = ", subsequent_indent=" " * 6) for g, names in found.items()]
    return "\n".join(lines)


def _options(folder: Traversable) -> list[str]:
    return sorted(f.name.removesuffix(".yaml") for f in folder.iterdir() if f.name.endswith(".yaml") and not f.name.startswith("_"))


def _keys(name: str, prefix: str, classes: dict[str, ast.ClassDef], lines: list[str]) -> Iterator[tuple[str, str, str]]:
    """(dotted key, default, comment) of every field of dataclass `name`."""
    for node in classes[name].body:
        if not isinstance(node, ast.AnnAssign) or not isinstance(node.target, ast.Name):
            continue
        key, group = prefix + node.target.id, ast.unparse(node.annotation)
        if group in classes:
            yield from _keys(group, f"{key}.", classes, lines)
        else:
            assert node.end_lineno is not None
            yield key, _default(node.value), lines[node.end_lineno - 1][node.end_col_offset or 0 :].partition("# ")[2]


def _default(value: ast.expr | None) -> str:
    """A default as it is written on the command line."""
    if isinstance(value, ast.Call):  # field(default_factory=...)
        factory = value.keywords[0].value
        return ast.unparse(factory.body).replace(" ", "") if isinstance(factory, ast.Lambda) else "{}"
    if isinstance(value, ast.Constant):
        return str(value.value).lower() if isinstance(value.value, bool) else "null" if value.value is None else str(value.value)
    return value.attr if isinstance(value, ast.Attribute) else "..."


def entry(head: str, text: str, indent: int = INDENT) -> str:
    """`head` and, from column `indent` on, `text`, wrapped; below it where `head` is too long."""
    lines = textwrap.wrap(text, WIDTH - indent)
    first = [head] if not lines or len(head) > indent - 2 else [f"{head:<{indent}}{lines.pop(0)}"]
    return "\n".join([*first, *(f"{'':<{indent}}{line}" for line in lines)])
