"""The form of a study, and how it is found, run and written."""

from __future__ import annotations

import ast
import io
from collections.abc import Sequence
from dataclasses import dataclass
from importlib import import_module
from importlib.resources import files
from pathlib import Path
from pkgutil import iter_modules
from typing import Any

import matplotlib
from matplotlib.figure import Figure

import bench.studies
from bench.errors import RunError
from bench.report.figures.draw import svg_of
from bench.report.figures.style import RC
from bench.storage.rundir import to_csv
from envs.files import write_atomic

FRAME = "study"  # the module of this package that is no study


@dataclass
class Options:
    """Options of a study. toy: a miniature for tests. out: folder of its results."""

    toy: bool
    out: Path


@dataclass
class Found:
    """The results of a study: rows of a table, a figure, and the verdict in plain words (Markdown), each computed from the rows."""

    rows: Sequence[dict[str, Any]]
    figure: Figure
    verdict: str


def names() -> list[str]:
    """The studies: modules of this package."""
    return [m.name for m in iter_modules(bench.studies.__path__) if m.name != FRAME]


def title(name: str) -> str:
    """The first line of a study's docstring."""
    text = files("bench.studies").joinpath(f"{name}.py").read_text()
    return (ast.get_docstring(ast.parse(text)) or "").split("\n", 1)[0]


def run(name: str, options: Options) -> Path:
    """Do study `name` and write rows.csv, NAME.svg, NAME.png and README.md into its folder of `options.out`. Returns that folder.

    Raises RunError for a study that does not exist.
    """
    if name not in names():
        raise RunError(f"study {name}: expected one of {', '.join(names())}")
    with matplotlib.rc_context(RC):
        found = import_module(f"bench.studies.{name}").study(options)
    folder = options.out / name
    columns = list(dict.fromkeys(key for row in found.rows for key in row))
    write_atomic(folder / "rows.csv", to_csv(found.rows, columns))
    write_atomic(folder / f"{name}.svg", svg_of(found.figure))
    png = io.BytesIO()
    with matplotlib.rc_context(RC):
        found.figure.savefig(png, format="png", dpi=150, metadata={"Software": None})
    write_atomic(folder / f"{name}.png", png.getvalue())
    toy = "\n\nA miniature: its numbers mean nothing.\n" if options.toy else ""
    head = f"# {title(name)}\n\n`python -m bench study {name}`{toy}\n\n"
    write_atomic(folder / "README.md", f"{head}{found.verdict.strip()}\n\n![]({name}.svg)\n\nRows: `rows.csv`.\n")
    return folder
