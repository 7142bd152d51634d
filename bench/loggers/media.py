"""What loggers show beside curves: a run's figures and videos, a suite's figures."""

from __future__ import annotations

import io
import json
from pathlib import Path
from typing import Any

VIDEOS = (".mp4", ".webm", ".gif")


def run_figures(folder: Path) -> dict[str, Any]:
    """The learning curve and, where the method has weights, their diagnostics of the finished run in `folder`, as PIL images by name."""
    import matplotlib
    from PIL import Image

    from bench.report.figures.curves import learning_curves, weight_diagnostics
    from bench.report.figures.draw import metrics
    from bench.report.figures.style import RC, looks
    from bench.results.episodes import read_episodes
    from bench.results.grid import grids

    record = json.loads((folder / "run.json").read_text()) | {"folder": str(folder)}
    runs = [(record, read_episodes(folder, record))]
    found = {}
    with matplotlib.rc_context(RC):
        grid = grids(runs)[0]
        look = looks(grid.methods)
        for name, figure in (learning_curves(grid, runs, look) | weight_diagnostics(grid, metrics(runs), look)).items():
            png = io.BytesIO()
            figure.savefig(png, format="png", dpi=150, metadata={"Software": None})
            found[name.split("-")[0]] = Image.open(png)
    return found


def videos(folder: Path) -> list[Path]:
    """Recordings that lie in the run directory; none of wandb's own copies."""
    return sorted(p for p in folder.rglob("*") if p.suffix in VIDEOS and "wandb" not in p.relative_to(folder).parts)
