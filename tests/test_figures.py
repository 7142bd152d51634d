"""Every figure that runs allow, and none that they do not."""

from __future__ import annotations

from itertools import pairwise
from pathlib import Path

import matplotlib.colors
import numpy as np
import pytest
from fake_suite import make_run, make_suite
from PIL import Image

from bench.figures.draw import CAPTIONS, draw, figures, svg_of
from bench.figures.style import COLOURS, looks
from bench.leaderboard import suite_runs


def test_a_suite_has_its_figures_in_both_formats(tmp_path: Path) -> None:
    make_suite(tmp_path)
    make_run(tmp_path, "iw_sft", "iwsft/hopper/medium-v0", temperature=3.0)
    found = draw(tmp_path, suite_runs(tmp_path))
    hopper = "iwsft-hopper-medium-v0"
    assert {f"curve-{hopper}", f"weights-{hopper}", f"tuning-{hopper}", "intervals", "profile", "improvement", "cost"} <= set(found)
    assert all(name.split("-")[0] in CAPTIONS for name in found)
    for name in found:
        with Image.open(tmp_path / "figures" / f"{name}.png") as image:
            assert np.asarray(image.convert("L")).std() > 5  # not a blank sheet
        assert (tmp_path / "figures" / f"{name}.svg").read_text() == found[name]


@pytest.mark.parametrize(
    ("arguments", "expected"),
    [
        ({"seeds": [0]}, {"curve", "intervals", "profile", "cost"}),
        ({"reference": None}, {"curve"}),
        ({"algo": "iw_sft"}, {"curve", "weights", "intervals", "profile", "cost"}),
    ],
)
def test_a_single_run_has_what_it_allows(tmp_path: Path, arguments: dict, expected: set[str]) -> None:
    make_run(tmp_path, **arguments)
    found = figures(suite_runs(tmp_path))
    assert {name.split("-")[0] for name in found} == expected
    assert all(svg_of(f).startswith("<?xml") for f in found.values())


def test_an_svg_is_the_same_each_time(tmp_path: Path) -> None:
    make_suite(tmp_path)
    runs = suite_runs(tmp_path)
    first, second = (svg_of(figures(runs)["profile"]) for _ in range(2))
    assert first == second


def test_methods_differ_in_grey_and_neighbours_in_lightness() -> None:
    """Line and marker tell methods apart without colour; colours that follow one another differ in lightness."""
    look = looks([f"m{i}" for i in range(20)])
    assert len({(x.line, x.marker) for x in look.values()}) == 20
    grey = [float(np.dot(matplotlib.colors.to_rgb(c), [0.299, 0.587, 0.114])) for c in COLOURS]
    assert all(abs(a - b) > 0.1 for a, b in pairwise(grey))
