"""Style of all figures: one column wide, colours of Okabe & Ito (2008) for colour-blind readers, line styles and markers for grey print."""

from __future__ import annotations

import hashlib
import math
import re
from collections.abc import Sequence
from typing import NamedTuple

from matplotlib.axes import Axes
from matplotlib.figure import Figure

WIDTH = 4.8  # inches
INK = "#222222"  # text and axes; the page replaces it by its own text colour
RC = {
    "font.size": 9, "font.family": "sans-serif", "axes.spines.top": False, "axes.spines.right": False, "axes.edgecolor": INK,
    "axes.labelcolor": INK, "axes.titlesize": 9, "text.color": INK, "xtick.color": INK, "ytick.color": INK, "xtick.labelcolor": INK,
    "ytick.labelcolor": INK, "axes.titlecolor": INK, "axes.grid": True, "grid.color": "#888888", "grid.alpha": 0.3, "grid.linewidth": 0.5,
    "legend.frameon": False, "legend.fontsize": 8, "legend.handlelength": 3, "lines.linewidth": 1.5,
    "svg.fonttype": "none", "pdf.fonttype": 42,
    "svg.hashsalt": "iwsft-bench", "axes.facecolor": "none", "axes.unicode_minus": False,
    "figure.constrained_layout.use": True, "savefig.transparent": False,
}  # fmt: skip

COLOURS = ("#000000", "#E69F00", "#0072B2", "#56B4E9", "#009E73", "#CC79A7", "#D55E00", "#B8A800")
INKED = {"#000000": INK}
LINES = ("-", "--", "-.", ":", (0, (5, 1)), (0, (3, 1, 1, 1, 1, 1)), (0, (1, 1)))
MANY = 9  # bands of more methods would cover the lines
MARKERS = ("o", "s", "^", "D", "v", "P", "X", "*", "<", ">")


PLACES = (
    "bc", "filtered_bc", "sft", "sft_q", "iw_sft", "iw_sft_q", "dft", "iql", "awr", "awac", "cfgrl", "cql", "crr", "edac", "marwil",
    "rebrac", "rwr", "sac_n", "td3_bc", "cal_ql", "rlpd",
)  # fmt: skip
"""Methods with a look of their own, the first ones in different colours. A new method is added at the end: no other changes its look."""
LOOKS = len(LINES) * len(MARKERS)
POINTS = math.lcm(len(COLOURS), len(MARKERS))  # places that differ in colour or marker, as points without lines must


class Look(NamedTuple):
    """Colour, line style and marker of a method, the same in every figure of every suite."""

    colour: str
    line: str | tuple[int, tuple[int, ...]]
    marker: str


def looks(methods: Sequence[str]) -> dict[str, Look]:
    """A look for each method: by its place in PLACES, else by a digest of its name.

    Colour, line style and marker repeat with different periods, so that no two of LOOKS places share all three. If two methods meet at a
    place, or in colour and marker, the later one has the next free place: of up to POINTS methods, no two share both.
    """
    places: dict[str, int] = {m: PLACES.index(m) for m in methods if m in PLACES}
    taken = set(places.values())
    for method in sorted(set(methods) - set(places)):
        first = len(PLACES) + int(hashlib.sha256(method.encode()).hexdigest(), 16) % (LOOKS - len(PLACES))
        free = [k for step in range(LOOKS) if (k := (first + step) % LOOKS) not in taken]
        points = {k % POINTS for k in taken}
        places[method] = next((k for k in free if k % POINTS not in points), next(iter(free), first))
        taken.add(places[method])
    return {m: _look(places[m]) for m in methods}


def _look(place: int) -> Look:
    colour = COLOURS[place % len(COLOURS)]
    return Look(INKED.get(colour, colour), LINES[place % len(LINES)], MARKERS[place % len(MARKERS)])


def canvas(height: float = 3.2) -> tuple[Figure, Axes]:
    """A figure one column wide, `height` inches high, with one set of axes."""
    figure = Figure(figsize=(WIDTH, height))
    return figure, figure.add_subplot()


def legend(figure: Figure, axes: Axes, most: int = 3) -> None:
    """Add a legend below the axes with up to `most` columns, fewer for long names; the figure grows with its rows."""
    handles, labels = axes.get_legend_handles_labels()
    if handles:
        columns = max(1, min(most, int(WIDTH / (0.55 + 0.07 * max(map(len, labels))))))  # inches: line sample, and letters of 8 points
        figure.set_figheight(figure.get_figheight() + 0.17 * max(0, -(-len(labels) // columns) - 2))
        figure.legend(handles, labels, loc="outside lower center", ncols=min(columns, len(labels)))


def short(dataset: str) -> str:
    """The id of a data set without namespace and version."""
    return dataset.split("/", 1)[-1].rsplit("-v", 1)[0]


def file_name(dataset: str) -> str:
    """The id of a data set as part of a file name."""
    return re.sub(r"[^\w.@+-]+", "-", dataset)[:150]
