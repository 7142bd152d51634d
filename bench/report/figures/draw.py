"""All figures of a suite, as png and svg: `python -m bench tables results/quick`."""

from __future__ import annotations

import io
from pathlib import Path

import matplotlib
import pandas as pd
from matplotlib.figure import Figure

from bench.report.figures import aggregates, cost, curves
from bench.report.figures.style import MANY, RC, looks
from bench.results.grid import Runs, grids
from bench.storage.files import write_atomic

CAPTIONS = {
    "intervals": "Aggregate metrics with 95 % intervals (stratified bootstrap over seeds)",
    "profile": f"Performance profile: share of runs above a score, with point-by-point 95 % bands (of no more than {MANY} methods)",
    "improvement": "Probability of improvement with its 95 % interval",
    "cost": "Score against cost",
    "tuning": "Expected score against configurations tried and evaluation episodes spent on choosing, by all episodes or by a few each",
    "curve": f"Mean over seeds; band: 95 % interval of the mean (Student's t), for no more than {MANY} methods",
    "weights": "Importance weights over training, mean over seeds",
}
"""By the first part of a figure's name, in the order of the report."""


def figures(runs: Runs) -> dict[str, Figure]:
    """Every figure that the runs allow, by name. Of runs that were not measured alike, the largest group is drawn."""
    with matplotlib.rc_context(RC):
        grid = grids(runs)[0]
        own = {r["config_hash"] for r in grid.records.values()}
        runs = [run for run in runs if run[0]["config_hash"] in own]
        look = looks(grid.methods)
        found = aggregates.intervals(grid, look) | aggregates.profile(grid, look) | aggregates.improvement(grid)
        found |= cost.cost(grid, look) | cost.tuning(runs)
        return found | curves.learning_curves(grid, runs, look) | curves.weight_diagnostics(grid, metrics(runs), look)


def metrics(runs: Runs) -> dict[str, pd.DataFrame]:
    """curve.csv of every run that has one, by config_hash."""
    paths = {record["config_hash"]: Path(record["folder"]) / "curve.csv" for record, _ in runs}
    return {name: pd.read_csv(path) for name, path in paths.items() if path.is_file()}


def svg_of(figure: Figure) -> str:
    """The figure as SVG text, the same for the same figure."""
    out = io.StringIO()
    with matplotlib.rc_context(RC):
        figure.savefig(out, format="svg", metadata={"Date": None, "Creator": None})
    return out.getvalue()


def draw(suite: Path, runs: Runs) -> dict[str, str]:
    """Write figures/*.png and *.svg of folder `suite`; returns the SVGs by name."""
    found = {}
    for name, figure in figures(runs).items():
        found[name] = svg_of(figure)
        write_atomic(suite / "figures" / f"{name}.svg", found[name])
        figure.set_layout_engine("none")  # what the SVG was laid out by holds
        png = io.BytesIO()
        with matplotlib.rc_context(RC):
            figure.savefig(png, format="png", dpi=200, metadata={"Software": None})
        write_atomic(suite / "figures" / f"{name}.png", png.getvalue())
    return found
