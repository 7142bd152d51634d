"""All figures of a suite, written as PNG and SVG."""

from __future__ import annotations

import io
from pathlib import Path

import matplotlib
from matplotlib.figure import Figure

from bench.report.figures import aggregates, cost, curves
from bench.report.figures.style import MANY, RC, looks
from bench.results.grid import grids
from bench.results.runs import Runs
from envs.files import write_atomic

PLAIN = RC | {"text.parse_math": False}  # a name with a $ is a name, not a formula

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


def figures(runs: Runs) -> dict[str, Figure]:
    """Every figure that the runs allow, by name. With several protocols, only the largest group of comparable runs is drawn."""
    with matplotlib.rc_context(PLAIN):
        grid = grids(runs)[0]
        look = looks(grid.methods)
        found = aggregates.intervals(grid, look) | aggregates.profile(grid, look) | aggregates.improvement(grid)
        found |= cost.cost(grid, look) | cost.tuning(grid.runs)
        return found | curves.learning_curves(grid, look) | curves.weight_diagnostics(grid, look)


def svg_of(figure: Figure) -> str:
    """The figure as SVG text; equal figures give equal text."""
    out = io.StringIO()
    with matplotlib.rc_context(PLAIN):
        figure.savefig(out, format="svg", metadata={"Date": None, "Creator": None})
    return out.getvalue()


def draw(suite: Path, runs: Runs) -> dict[str, str]:
    """Write figures/*.png and *.svg of folder `suite`; return the SVGs by name."""
    found = {}
    for name, figure in figures(runs).items():
        found[name] = svg_of(figure)
        write_atomic(suite / "figures" / f"{name}.svg", found[name])
        figure.set_layout_engine("none")  # keeps the layout of the SVG
        png = io.BytesIO()
        with matplotlib.rc_context(PLAIN):
            figure.savefig(png, format="png", dpi=200, metadata={"Software": None})
        write_atomic(suite / "figures" / f"{name}.png", png.getvalue())
    return found
