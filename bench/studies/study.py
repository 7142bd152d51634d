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
from bench.report.figures.style import RC
from bench.report.figures.writing import svg_of
from bench.storage.rundir import to_csv
from envs.files import write_atomic

FRAME = ("study", "runs", "claims", "behaviour")  # the modules of this package that are no study
ROWS = "rows.csv"


@dataclass
class Options:
    """Options of a study. toy: a miniature for tests. out: folder of its results.

    Of a study made of runs: only: the one data set to compute now, the rows of the others are kept. seeds and episodes: fewer, or more,
    than the study's own. train: False computes nothing, and writes figure and verdict from the rows.
    """

    toy: bool
    out: Path
    only: str | None = None
    seeds: int | None = None
    episodes: int | None = None
    train: bool = True

    def check(self) -> None:
        """Raise RunError for a value that cannot be used."""
        for name in ("seeds", "episodes"):
            value = getattr(self, name)
            if value is not None and value < 1:
                raise RunError(f"--{name} {value}: expected a positive number")


@dataclass
class Found:
    """The results of a study: rows of a table, a figure, and the verdict in plain words (Markdown), each computed from the rows."""

    rows: Sequence[dict[str, Any]]
    figure: Figure
    verdict: str


def names() -> list[str]:
    """The studies: modules of this package that are not parts of others."""
    return [m.name for m in iter_modules(bench.studies.__path__) if m.name not in FRAME and not m.ispkg]


def datasets(name: str) -> list[str]:
    """The data sets that a study can be done on one at a time; none for a study that is done at once."""
    of = getattr(import_module(f"bench.studies.{name}"), "datasets", None)
    return [] if of is None else list(of())


def title(name: str) -> str:
    """The first line of a study's docstring."""
    text = files("bench.studies").joinpath(f"{name}.py").read_text()
    return (ast.get_docstring(ast.parse(text)) or "").split("\n", 1)[0]


def run(name: str, options: Options) -> Path:
    """Do study `name` and write rows.csv, NAME.svg, NAME.png and README.md into its folder of `options.out`. Returns that folder.

    Raises RunError for a study that does not exist, or that is not done on the data set `options.only`.
    """
    if name not in names():
        raise RunError(f"study {name}: expected one of {', '.join(names())}")
    options.check()
    if options.only is not None and options.only not in (known := datasets(name)):
        raise RunError(f"study {name} --only {options.only}: expected {', '.join(known) or 'no --only: this study is done at once'}")
    with matplotlib.rc_context(RC):
        found = import_module(f"bench.studies.{name}").study(options)
    folder = options.out / name
    write_rows(folder / ROWS, found.rows)
    write_atomic(folder / f"{name}.svg", svg_of(found.figure))
    png = io.BytesIO()
    with matplotlib.rc_context(RC):
        found.figure.savefig(png, format="png", dpi=150, metadata={"Software": None})
    write_atomic(folder / f"{name}.png", png.getvalue())
    toy = "\n\nA miniature: its numbers mean nothing.\n" if options.toy else ""
    sizes = "".join(f" --{key} {value}" for key in ("seeds", "episodes") if (value := getattr(options, key)) is not None)
    head = f"# {title(name)}\n\n`python -m bench study {name}{sizes}`{toy}\n\n"
    write_atomic(folder / "README.md", f"{head}{found.verdict.strip()}\n\n![]({name}.svg)\n\nRows: `{ROWS}`.\n")
    return folder


def write_rows(path: Path, rows: Sequence[dict[str, Any]]) -> None:
    """Write `rows` as a table with the columns of all of them."""
    write_atomic(path, to_csv(rows, list(dict.fromkeys(key for row in rows for key in row))))
