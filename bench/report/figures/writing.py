"""Files of figures: SVG and PNG, and PDF on request. Where many are to be written, other processes write some of them."""

from __future__ import annotations

import io
import multiprocessing
from concurrent.futures import Future, ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from functools import partial
from pathlib import Path
from types import TracebackType

import matplotlib
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.backends.backend_svg import FigureCanvasSVG
from matplotlib.figure import Figure

from bench.report.figures.style import RC
from envs.cores import available_cores
from envs.files import write_atomic
from envs.processes import may_spawn, serve_parent, signals_blocked

PLAIN = RC | {"text.parse_math": False}  # a name with a $ is a name, not a formula
DPI = 200  # of PNG files
MANY = 12  # figures for which a helper is started, which takes a second or two
HELPERS = 3  # at most; each takes the memory of an interpreter with matplotlib
AHEAD = 2  # figures that wait for a helper or are being written by it


def svg_of(figure: Figure) -> str:
    """The figure as SVG text; equal figures give equal text. The figure keeps this layout."""
    with matplotlib.rc_context(PLAIN):
        out, canvas = io.StringIO(), FigureCanvasSVG(figure)
        figure.set_dpi(72)  # points, in which SVG and PDF measure
        if (engine := figure.get_layout_engine()) is not None:
            engine.execute(figure)
            figure.set_layout_engine("none")
        canvas.print_svg(out, metadata={"Date": None, "Creator": None})  # savefig would draw it once more, for its layout
    return out.getvalue()


def write(folder: Path, name: str, figure: Figure, pdf: bool) -> str:
    """Write the files of a figure; returns its SVG. Fonts make a PDF cost as much as SVG and PNG together."""
    with matplotlib.rc_context(PLAIN):
        svg, png, portable = svg_of(figure), io.BytesIO(), io.BytesIO()
        if pdf:
            from matplotlib.backends.backend_pdf import FigureCanvasPdf

            FigureCanvasPdf(figure).print_pdf(portable, metadata={"CreationDate": None, "Producer": None, "Creator": None})
        figure.set_dpi(DPI)
        FigureCanvasAgg(figure).print_png(png, metadata={"Software": None})
    contents: list[str | bytes] = [svg, png.getvalue(), portable.getvalue()]
    for path, content in zip(paths(folder, name), contents, strict=True):
        if content:
            write_atomic(path, content)
        else:
            path.unlink(missing_ok=True)
    return svg


def paths(folder: Path, name: str) -> list[Path]:
    """SVG, PNG and PDF of figure `name`."""
    return [folder / f"{name}.{kind}" for kind in ("svg", "png", "pdf")]


class Writer:
    """Writes figures into `folder`, about `count` of them. Leaving the block waits until all are written; then `svgs` holds their texts."""

    def __init__(self, folder: Path, pdf: bool, count: int) -> None:
        self.svgs: dict[str, str] = {}
        self._write = partial(write, folder, pdf=pdf)
        self._sent: list[tuple[str, Figure, Future[str]]] = []
        self._helpers = min(available_cores() - 1, HELPERS) if count >= MANY and may_spawn() else 0
        context = multiprocessing.get_context("spawn")
        self._pool = ProcessPoolExecutor(self._helpers, context, serve_parent) if self._helpers else None

    def add(self, name: str, figure: Figure) -> None:
        """Write `figure` here or, if one of them is idle, in a helper."""
        waiting = sum(not future.done() for _, _, future in self._sent)
        if self._pool is None or waiting >= AHEAD * self._helpers:
            self.svgs[name] = self._write(name, figure)
            return
        try:
            with signals_blocked():
                self._sent.append((name, figure, self._pool.submit(self._write, name, figure)))
        except BrokenProcessPool:
            self.svgs[name] = self._write(name, figure)

    def __enter__(self) -> Writer:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        try:
            if error is None:
                for name, figure, future in self._sent:
                    self.svgs[name] = self._result(name, figure, future)
        finally:
            if self._pool is not None:
                self._pool.shutdown(cancel_futures=True)

    def _result(self, name: str, figure: Figure, future: Future[str]) -> str:
        try:
            return future.result()
        except BrokenProcessPool:  # a helper was killed, for its memory perhaps
            return self._write(name, figure)
