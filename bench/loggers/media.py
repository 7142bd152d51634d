"""Pictures and films of a finished run, for loggers that show them."""

from __future__ import annotations

import io
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from bench.storage.rundir import Row, read_csv

FIGURES = {
    "curve": ("return_mean",),
    "weights": ("weight_ess_share", "kl_q_pi_ref", "weight_maximum", "weight_minimum", "weight_clipped_share"),
}
"""Metrics of curve.csv by figure, a panel each."""


def run_figures(folder: Path) -> dict[str, Any]:
    """Metrics by update, a line a seed, of the run in `folder`: PIL images by name. Empty if matplotlib is not installed.

    A figure without any of its metrics is left out.
    """
    try:
        import matplotlib.figure
    except ImportError:
        return {}
    rows = read_csv(folder / "curve.csv")
    found = {}
    for name, metrics in FIGURES.items():
        present = [m for m in metrics if any(row.get(m, "") != "" for row in rows)]
        if present:
            found[name] = _draw(matplotlib.figure.Figure(figsize=(4.8, 2.4 * len(present)), layout="constrained"), rows, present)
    return found


def _draw(figure: Any, rows: Sequence[Row], metrics: Sequence[str]) -> Any:
    from PIL import Image

    for axes, metric in zip(figure.subplots(len(metrics), squeeze=False)[:, 0], metrics, strict=True):
        for seed in dict.fromkeys(row["seed"] for row in rows):
            own = [(int(row["update"]), float(row[metric])) for row in rows if row["seed"] == seed and row.get(metric, "") != ""]
            axes.plot(*zip(*own, strict=True), label=f"seed {seed}", marker="o", markersize=3)
        axes.set(xlabel="updates", ylabel=metric)
    figure.axes[0].legend(frameon=False, fontsize="small")
    png = io.BytesIO()
    figure.savefig(png, format="png", dpi=150)
    return Image.open(png)
