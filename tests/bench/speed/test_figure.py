"""Figures of measured speed can be read without colour, and have no empty panels or bare axes."""

from __future__ import annotations

import pandas as pd

from bench.speed.figure import scale_figure, speed_figure
from tests.helpers.paths import ROOT


def test_limits_differ_without_colour() -> None:
    """Drawn from the committed measurements: each method's limit carries the marker of its curve."""
    rows = pd.read_csv(ROOT / "results" / "reference" / "speed" / "speed-cpu.csv").to_dict("records")
    lines = {line.get_label(): line for line in speed_figure(rows, "a machine").axes[0].get_lines()}
    methods = [name for name in lines if f"{name}, limit" in lines]
    assert len(methods) >= 2
    assert len({lines[f"{name}, limit"].get_marker() for name in methods}) == len(methods)
    assert all(lines[f"{name}, limit"].get_marker() == lines[name].get_marker() for name in methods)


def test_a_curve_without_rows_has_no_panel() -> None:
    rows = [{"curve": "batch", "x": x, "method": "bc", "member_updates_per_s": 1e4 / x, "share_of_limit": 0.5} for x in (8, 16)]
    panels = scale_figure([*rows, rows[0] | {"curve": "method", "x": "bc"}], "a machine").axes
    assert [axes.get_xlabel() for axes in panels if axes.axison] == ["batch"]


def test_costs_of_a_small_range_have_ticks() -> None:
    """Between 4.2 and 7.6 there may be no power of two."""
    rows = [
        {"curve": "batch", "x": x, "method": "bc", "member_updates_per_s": rate, "share_of_limit": 0.9} for x, rate in ((8, 200), (16, 140))
    ]
    axes = next(a for a in scale_figure(rows, "a machine").axes if a.axison)
    low, high = axes.get_ylim()
    assert sum(low <= y <= high for y in axes.get_yticks()) >= 1
