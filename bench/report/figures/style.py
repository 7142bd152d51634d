"""One look: a column wide, colour-blind safe (Okabe & Ito 2008), readable in grey by line style and marker."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

from matplotlib.axes import Axes
from matplotlib.figure import Figure

WIDTH = 4.8  # inches
INK = "#222222"  # text and axes; a page that shows an SVG may replace it
RC = {
    "font.size": 9, "font.family": "sans-serif", "axes.spines.top": False, "axes.spines.right": False, "axes.edgecolor": INK,
    "axes.labelcolor": INK, "axes.titlesize": 9, "text.color": INK, "xtick.color": INK, "ytick.color": INK, "xtick.labelcolor": INK,
    "ytick.labelcolor": INK, "axes.titlecolor": INK, "axes.grid": True, "grid.color": "#888888", "grid.alpha": 0.3, "grid.linewidth": 0.5,
    "legend.frameon": False, "legend.fontsize": 8, "legend.handlelength": 3, "lines.linewidth": 1.5, "svg.fonttype": "none",
    "svg.hashsalt": "iwsft-bench", "axes.facecolor": "none", "axes.unicode_minus": False,
    "figure.constrained_layout.use": True, "savefig.transparent": False,
}  # fmt: skip

COLOURS = ("#000000", "#E69F00", "#0072B2", "#56B4E9", "#009E73", "#CC79A7", "#D55E00", "#B8A800")
INKED = {"#000000": INK}
LINES = ("-", "--", "-.", ":", (0, (5, 1)), (0, (3, 1, 1, 1, 1, 1)), (0, (1, 1)))
MANY = 9  # bands of more methods cover one another and the lines: left out
MARKERS = ("o", "s", "^", "D", "v", "P", "X", "*", "<", ">")


class Look(NamedTuple):
    """How a method is drawn: the same in every figure of a suite."""

    colour: str
    line: str | tuple[int, tuple[int, ...]]
    marker: str


def looks(methods: Sequence[str]) -> dict[str, Look]:
    """A look for each method; colour, line style and marker go round with different periods, so that no two methods share all three."""
    return {
        m: Look(INKED.get(COLOURS[i % len(COLOURS)], COLOURS[i % len(COLOURS)]), LINES[i % len(LINES)], MARKERS[i % len(MARKERS)])
        for i, m in enumerate(methods)
    }


def canvas(height: float = 3.2) -> tuple[Figure, Axes]:
    """A figure a column wide with one set of axes."""
    figure = Figure(figsize=(WIDTH, height))
    return figure, figure.add_subplot()


def legend(figure: Figure, axes: Axes, most: int = 3) -> None:
    """The legend below the axes, where it hides nothing: `most` columns, fewer where names are long. A figure grows by its rows."""
    handles, labels = axes.get_legend_handles_labels()
    if handles:
        columns = max(1, min(most, int(WIDTH / (0.55 + 0.07 * max(map(len, labels))))))  # a line's sample, and letters of 8 points
        figure.set_figheight(figure.get_figheight() + 0.17 * max(0, -(-len(labels) // columns) - 2))
        figure.legend(handles, labels, loc="outside lower center", ncols=min(columns, len(labels)))


def short(dataset: str) -> str:
    """A data set's id without namespace and version."""
    return dataset.split("/", 1)[-1].rsplit("-v", 1)[0]
