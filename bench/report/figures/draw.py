"""All figures of a suite. A figure of unchanged results is not drawn again."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import cache
from pathlib import Path
from typing import Any, NamedTuple

import matplotlib
from matplotlib.figure import Figure
from matplotlib.text import Text

from bench.errors import DataError
from bench.report.figures import aggregates, cost, curves
from bench.report.figures.style import MANY, looks
from bench.report.figures.writing import PLAIN, Writer, paths
from bench.results.grid import Grid
from bench.results.levelling import FEW_UPDATES, RISES, SYMBOLS
from bench.storage.layout import digest_of
from envs.files import write_json
from envs.untrusted import read_json, read_text

CAPTIONS = {
    "intervals": "Aggregate metrics with 95 % intervals (stratified bootstrap over seeds)",
    "profile": f"Performance profile: share of runs above a score, with pointwise 95 % bands (for at most {MANY} methods)",
    "improvement": "Probability that a run of the row beats one of the column, with its 95 % interval",
    "cost": "Mean score against training and evaluation time a seed",
    "tuning": "Expected score of the best configuration, against configurations tried and episodes spent on the choice",
    "curve": f"Learning curve: mean over seeds; band: 95 % interval (Student's t), for at most {MANY} methods",
    "weights": "Importance weights over training, mean over seeds",
}
"""Captions by kind (first part of a figure's name), in the order of the report."""
SHORT = {FEW_UPDATES: "fewer updates than the paper's", RISES: "still rises at its last update"}
"""Meanings of the signs of rows that were not trained long enough."""
MOST = 24  # methods of a figure
DRAWN = ".drawn.json"  # in figures/: what was drawn from which results
SVG_BYTES = 64 << 20


class Drawing(NamedTuple):
    """Figures that depend on the same results: a digest of these, and the function that draws them."""

    key: str
    inputs: str
    make: Callable[[], dict[str, Figure]]


def drawn_methods(grid: Grid, names: Sequence[str] = ()) -> list[str]:
    """The methods that figures show, in the order of tables: those that `names` choose (`Grid.named`), or the MOST best ones. Raises
    RunError."""
    return grid.named(names) if names else grid.part(methods=grid.ranked()[:MOST]).methods


def drawings(grid: Grid, names: Sequence[str] = ()) -> list[Drawing]:
    """Every figure of a suite, of `drawn_methods`; the gain from tuning is that of all configurations, chosen or not."""
    cells = {key: _content(record, grid.episodes[key]) for key, record in grid.records.items()}
    return [*_of_methods(grid.part(methods=drawn_methods(grid, names)), cells), *_tunings(grid, cells)]


def _of_methods(grid: Grid, contents: Mapping[tuple[str, str], str]) -> Iterator[Drawing]:
    """The figures over all data sets, and those of each. contents: digests of the results (`_content`) by cell."""
    look = looks(grid.methods)
    cells = {key: contents[key] for key in grid.records}
    everything = digest_of([_version(), grid.methods, grid.mix_marked, sorted(cells.items())])
    for make in (aggregates.intervals, aggregates.profile, cost.cost):
        yield Drawing(make.__name__, everything, lambda make=make: make(grid, look))  # type: ignore[misc]
    yield Drawing("improvement", everything, lambda: aggregates.improvement(grid))
    for dataset in grid.datasets:
        own = grid.part([dataset])
        inputs = digest_of([_version(), sorted((key, cells[key], look[key[1]]) for key in own.records)])
        for draw_own in (curves.learning_curves, curves.weight_diagnostics):
            yield Drawing(f"{draw_own.__name__} {dataset}", inputs, lambda own=own, draw_own=draw_own: draw_own(own, look))  # type: ignore[misc]


def _tunings(grid: Grid, contents: Mapping[tuple[str, str], str]) -> Iterator[Drawing]:
    """The gain from tuning on each data set."""
    for dataset in grid.datasets:
        own = grid.part([dataset])
        inputs = digest_of([_version(), sorted((key, contents[key]) for key in own.records)])
        yield Drawing(f"tuning {dataset}", inputs, lambda own=own: cost.tuning(own.runs))  # type: ignore[misc]


def figures(grid: Grid) -> dict[str, Figure]:
    """Every figure that the results allow, by name."""
    found: dict[str, Figure] = {}
    with matplotlib.rc_context(PLAIN):
        for drawing in drawings(grid):
            found |= drawing.make()
    return found


def draw(suite: Path, grid: Grid, names: Sequence[str] = (), pdf: bool = False) -> dict[str, str]:
    """Write figures/*.svg and *.png of folder `suite`, of `drawn_methods`, with `pdf` also *.pdf; return the SVGs by name.

    Files of results that are gone, and PDFs of earlier ones, are removed.
    """
    folder = suite / "figures"
    folder.mkdir(parents=True, exist_ok=True)
    before = _drawn_before(folder)
    every = drawings(grid, names)
    known = {d.key: _unchanged(folder, before.get(d.key), d.inputs, pdf) for d in every}
    drawn: dict[str, list[str]] = {key: list(svgs) for key, svgs in known.items() if svgs is not None}
    with Writer(folder, pdf, count=len(every) - len(drawn)) as writer:
        for drawing in every:
            if drawing.key not in drawn:
                with matplotlib.rc_context(PLAIN):
                    made = drawing.make()
                    for name, figure in made.items():
                        explain_signs(figure)
                        writer.add(name, figure)
                drawn[drawing.key] = list(made)
    texts = writer.svgs | {name: svg for svgs in known.values() if svgs is not None for name, svg in svgs.items()}
    found = {name: texts[name] for drawing in every for name in drawn[drawing.key]}
    now = {d.key: {"inputs": d.inputs, "files": {name: _states(folder, name) for name in drawn[d.key]}} for d in every}
    for name in {name for entry in before.values() for name in entry["files"]} - set(found):
        for path in paths(folder, name):
            path.unlink(missing_ok=True)
    write_json(folder / DRAWN, now)
    return found


def explain_signs(figure: Figure) -> None:
    """State the meanings of the signs of SYMBOLS that stand in `figure`, in a line above it."""
    shown = "".join(text.get_text() for text in figure.findobj(Text))
    if meanings := [f"{SYMBOLS[mark]} {meaning}" for mark, meaning in SHORT.items() if SYMBOLS[mark] in shown]:
        title = figure.get_suptitle()
        figure.suptitle("\n".join([title] * bool(title) + ["   ".join(meanings)]), fontsize=9 if title else 7)


def _states(folder: Path, name: str) -> list[list[int] | None]:
    """The states of the files of a figure; None for a PDF that was not asked for."""
    return [_state(path) if os.path.lexists(path) else None for path in paths(folder, name)]


def _drawn_before(folder: Path) -> dict[str, Any]:
    """The entries of DRAWN; none if it is missing, damaged or of another kind."""
    try:
        entries = read_json(folder, DRAWN)
        names = [name for entry in entries.values() for name in entry["files"]]
    except (OSError, DataError, AttributeError, KeyError, TypeError):
        return {}
    return dict(entries) if all(isinstance(name, str) and name == os.path.basename(name) for name in names) else {}


def _unchanged(folder: Path, entry: Any, inputs: str, pdf: bool) -> dict[str, str] | None:
    """The SVGs of an entry of DRAWN if they were drawn from `inputs`, by this machine, and no file has changed since; else None.

    With `pdf`, the PDFs must be there, too.

    A file is known by inode and time of change, which nobody can set: a folder that came from elsewhere is drawn again.
    """
    try:
        if entry["inputs"] != inputs:
            return None
        if any(_states(folder, name) != states or None in states[: 3 if pdf else 2] for name, states in entry["files"].items()):
            return None
        return {name: read_text(folder, f"{name}.svg", SVG_BYTES) for name in entry["files"]}
    except (OSError, DataError, AttributeError, KeyError, TypeError):
        return None


def _state(path: Path) -> list[int]:
    found = path.lstat()
    return [found.st_dev, found.st_ino, found.st_ctime_ns, found.st_size]


@cache
def _version() -> str:
    """A digest of the code that draws."""
    sources = sorted([*Path(__file__).parent.glob("*.py"), *Path(__file__).parents[2].glob("results/*.py")])
    return hashlib.sha256(b"".join([matplotlib.__version__.encode(), *(path.read_bytes() for path in sources)])).hexdigest()


def _content(record: dict[str, Any], episodes: Any) -> str:
    """A digest of what figures show of a run."""
    about = {k: v for k, v in record.items() if k not in ("environment", "config", "versions", "portions")}
    curves_of = [[str(p.folder), p.seeds, _state(c) if (c := Path(p.folder) / "curve.csv").is_file() else None] for p in record["portions"]]
    rows = hashlib.sha256(episodes.to_numpy(float).tobytes()).hexdigest()
    return digest_of([about, curves_of, rows])
