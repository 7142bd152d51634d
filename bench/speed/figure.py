"""Figures of measured speed: the ratio to the yardstick against members, and the cost of an update against its size."""

from __future__ import annotations

import io
from collections.abc import Sequence
from pathlib import Path
from statistics import median

import matplotlib
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import FixedLocator, FuncFormatter, LogLocator, NullLocator

from bench.report.figures.style import RC, WIDTH, canvas, legend, looks
from bench.report.figures.writing import svg_of
from bench.speed.rows import Row
from envs.files import write_atomic

CURVES = {"members": "members P", "batch": "batch", "width": "width of both hidden layers", "steps": "steps of data"}


def _ticks(axes: Axes, values: Sequence[float]) -> None:
    axes.set_xscale("log", base=2)
    axes.xaxis.set_major_locator(FixedLocator(sorted(set(values))))
    axes.xaxis.set_minor_locator(NullLocator())
    axes.xaxis.set_major_formatter(FuncFormatter(lambda x, _: f"{x:,.0f}" if x < 10_000 else f"{x / 1000:,.0f}k"))


def speed_figure(rows: Sequence[Row], machine: str) -> Figure:
    """Ratio to the yardstick in one process against P: median as a line, range over rounds as a band, the limit dotted."""
    with matplotlib.rc_context(RC):
        figure, axes = canvas(3.6)
        suite = [r for r in rows if r["kind"] == "suite" and r["processes"] == 1]
        methods = list(dict.fromkeys(r["method"] for r in suite))
        for method, look in looks(methods).items():
            own = sorted((r for r in suite if r["method"] == method), key=lambda r: r["members"])
            members = [r["members"] for r in own]
            axes.plot(
                members, [r["ratio"] for r in own], label=method, color=look.colour, linestyle=look.line, marker=look.marker, markersize=4
            )
            axes.fill_between(
                members, [r["ratio_low"] for r in own], [r["ratio_high"] for r in own], color=look.colour, alpha=0.15, linewidth=0
            )
            limit = median(r["ratio"] / r["share_of_limit"] for r in own)  # the yardstick's rate is the same for all of them
            line = axes.axhline(limit, color=look.colour, linestyle=":", linewidth=1, label=f"{method}, limit", clip_on=False)
            line.set(marker=look.marker, markersize=4, markevery=[1])  # at its right end, so that lines differ without colour
        axes.axhline(1, color="#888888", linewidth=0.8)
        _ticks(axes, [r["members"] for r in suite])
        axes.set_yscale("log", base=2)
        axes.yaxis.set_major_formatter(FuncFormatter(lambda y, _: f"{y:g}"))
        axes.set(xlabel="members P", ylabel="member-updates/s, times the one-seed loop")
        axes.set_title(machine, fontsize=6)
        legend(figure, axes, 4)
        return figure


def scale_figure(rows: Sequence[Row], machine: str) -> Figure:
    """Milliseconds a member's update against members, batch, width and steps; dotted: the products alone, at the limit's rate.

    A curve without rows leaves its panel empty.
    """
    with matplotlib.rc_context(RC):
        figure = Figure(figsize=(WIDTH * 1.4, 4.6))
        for axes, (curve, label) in zip(figure.subplots(2, 2).flatten(), CURVES.items(), strict=True):
            own = sorted((r for r in rows if r["curve"] == curve), key=lambda r: r["x"])
            if not own:
                axes.set_axis_off()
                continue
            axes.set(xlabel=label, ylabel="ms a member's update")
            x, cost = [r["x"] for r in own], [1e3 / r["member_updates_per_s"] for r in own]
            axes.plot(x, cost, color=RC["text.color"], marker="o", markersize=4)
            axes.plot(x, [c * r["share_of_limit"] for c, r in zip(cost, own, strict=True)], color="#0072B2", linestyle=":")
            _ticks(axes, x)
            axes.set_yscale("log", base=2)
            low, high = axes.get_ylim()
            if high < 8 * low:  # powers of two alone would give one or two ticks
                axes.yaxis.set_major_locator(LogLocator(base=2, subs=(1, 1.5)))
            axes.yaxis.set_major_formatter(FuncFormatter(lambda y, _: f"{y:g}"))
        figure.suptitle(f"{next((r['method'] for r in rows), '')}; dotted: the products alone. {machine}", fontsize=6)
        return figure


def evaluation_figure(rows: Sequence[Row], machine: str) -> Figure:
    """Environment steps per second against environments: threads, processes and the loop, by task; dotted: physics alone."""
    with matplotlib.rc_context(RC):
        tasks = list(dict.fromkeys(r["task"] for r in rows))
        figure = Figure(figsize=(WIDTH * 1.4, 2.6))
        kinds = [kind for kind in dict.fromkeys(r["kind"] for r in rows) if kind != "physics"]
        for axes, task in zip(figure.subplots(1, len(tasks), squeeze=False)[0], tasks, strict=True):
            own = sorted((r for r in rows if r["task"] == task), key=lambda r: r["environments"])
            curves = {kind: [(r["environments"], r["env_steps_per_s"]) for r in own if r["kind"] == kind] for kind in (*kinds, "physics")}
            for kind, look in looks(kinds).items():
                axes.plot(
                    *zip(*curves[kind], strict=True), label=kind, color=look.colour, linestyle=look.line, marker=look.marker, markersize=4
                )
            axes.plot(*zip(*curves["physics"], strict=True), label="physics alone", color="#888888", linestyle=":")
            _ticks(axes, [r["environments"] for r in own])
            axes.set_ylim(bottom=0)
            axes.yaxis.set_major_formatter(FuncFormatter(lambda y, _: f"{y / 1000:g}k"))
            axes.set(xlabel="environments", title=task)
        figure.axes[0].set_ylabel("environment steps/s")
        legend(figure, figure.axes[0], most=4)
        figure.suptitle(machine, fontsize=6)
        return figure


def save(figure: Figure, folder: Path, name: str) -> None:
    """Write `name`.svg and `name`.png into `folder`."""
    svg = svg_of(figure)
    figure.set_layout_engine("none")  # keep the layout of the SVG
    png = io.BytesIO()
    with matplotlib.rc_context(RC):
        figure.savefig(png, format="png", dpi=200, metadata={"Software": None})
    write_atomic(folder / f"{name}.svg", svg)
    write_atomic(folder / f"{name}.png", png.getvalue())
