"""The keys of the configuration as text: name, value and meaning, which is the comment beside the key in its dataclass.

For `python -m bench --help` the source of the schema is parsed, not imported: the schema imports torch, which takes seconds.
"""

from __future__ import annotations

import ast
import inspect
import textwrap
from collections.abc import Iterator
from dataclasses import fields, is_dataclass
from enum import Enum
from importlib.resources import files
from importlib.resources.abc import Traversable
from typing import Any

WIDTH = 100  # columns
INDENT = 40  # of a key's comment


def keys() -> str:
    """One entry per key of `Config`, groups included, such as `eval.every=500  updates between evaluations`."""
    source = files("bench.config").joinpath("schema.py").read_text()
    classes = {node.name: node for node in ast.parse(source).body if isinstance(node, ast.ClassDef)}
    return "\n".join(
        entry(f"  {key}={default}", comment) for key, default, comment in _keys("Config", "", classes, source.splitlines()) if key != "algo"
    )


def settings(config: Any) -> str:
    """One entry per key of the configuration `config`: its value there and its meaning; the method's keys first."""
    found = list(_settings(config, ""))
    own = [line for key, line in found if key.startswith("algo.")]
    return "\n".join([*own, "", *(line for key, line in found if not key.startswith("algo."))])


def _settings(node: Any, prefix: str) -> Iterator[tuple[str, str]]:
    meanings = comments(type(node))
    for name in (f.name for f in fields(node)):
        value = getattr(node, name)
        if is_dataclass(value):
            yield from _settings(value, f"{prefix}{name}.")
        else:
            yield prefix + name, entry(f"  {prefix}{name}={_spell(value)}", meanings[name])


def comments(schema: type[Any]) -> dict[str, str]:
    """The comment of every field of a dataclass: that of the class that gives the field its default, or of the bases it derives from."""
    found: dict[str, str] = {}
    for cls in reversed([c for c in schema.__mro__ if is_dataclass(c)]):
        source = inspect.getsource(cls)
        (node,) = (n for n in ast.parse(source).body if isinstance(n, ast.ClassDef))
        for field in node.body:
            if isinstance(field, ast.AnnAssign) and isinstance(field.target, ast.Name):
                found[field.target.id] = _comment(field, source.splitlines()) or found.get(field.target.id, "")
    return found


def _comment(node: ast.AnnAssign, lines: list[str]) -> str:
    assert node.end_lineno is not None
    return lines[node.end_lineno - 1].encode()[node.end_col_offset or 0 :].decode().partition("# ")[2]


def _spell(value: Any) -> str:
    """A value as it is written on the command line."""
    if isinstance(value, Enum):
        return str(value.name)
    if isinstance(value, list):
        return f"[{','.join(map(_spell, value))}]"
    return {None: "null", True: "true", False: "false"}[value] if value is None or isinstance(value, bool) else str(value)


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
            yield key, _default(node.value), _comment(node, lines)


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
