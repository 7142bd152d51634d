"""Figures of a suite: every figure that its runs allow, and no other."""

from __future__ import annotations

import shutil
from itertools import pairwise
from pathlib import Path

import matplotlib
import matplotlib.colors
import numpy as np
import pytest
from PIL import Image

from bench.errors import RunError
from bench.report.figures import draw as draw_module
from bench.report.figures.aggregates import profile
from bench.report.figures.cost import tuning
from bench.report.figures.curves import learning_curves
from bench.report.figures.draw import CAPTIONS, draw, drawn_methods, figures
from bench.report.figures.style import COLOURS, PLACES, POINTS, RC, canvas, legend, looks
from bench.report.figures.writing import Writer, svg_of
from bench.results.grid import Grid, grids
from bench.results.runs import suite_runs
from tests.helpers.paths import ROOT
from tests.helpers.suites import make_run, make_suite


def grid_of(suite: Path) -> Grid:
    """The largest group of comparable runs of a suite."""
    return grids(suite_runs(suite))[0]


def test_a_suite_has_its_figures_in_every_format(tmp_path: Path) -> None:
    make_suite(tmp_path)
    make_run(tmp_path, "iw_sft", "iwsft/hopper/medium-v0", temperature=3.0)
    found = draw(tmp_path, grid_of(tmp_path), pdf=True)
    hopper = "iwsft-hopper-medium-v0"
    assert {f"curve-{hopper}", f"weights-{hopper}", f"tuning-{hopper}", "intervals", "profile", "improvement", "cost"} <= set(found)
    assert all(name.split("-")[0] in CAPTIONS for name in found)
    for name in found:
        with Image.open(tmp_path / "figures" / f"{name}.png") as image:
            assert np.asarray(image.convert("L")).std() > 5  # not a blank sheet
        assert (tmp_path / "figures" / f"{name}.svg").read_text() == found[name]
        assert (tmp_path / "figures" / f"{name}.pdf").read_bytes().startswith(b"%PDF")


@pytest.mark.parametrize(
    ("arguments", "expected"),
    [
        ({"seeds": [0]}, {"curve", "intervals", "profile", "cost"}),
        ({"reference": None}, {"curve"}),
        ({"algo": "iw_sft"}, {"curve", "weights", "intervals", "profile", "cost"}),
    ],
)
def test_a_single_run_has_the_figures_it_allows(tmp_path: Path, arguments: dict, expected: set[str]) -> None:
    make_run(tmp_path, **arguments)
    found = figures(grid_of(tmp_path))
    assert {name.split("-")[0] for name in found} == expected
    assert all(svg_of(f).startswith("<?xml") for f in found.values())


def test_what_did_not_change_is_not_drawn_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A further run on one data set: its figures and those over data sets are drawn, the other data sets' are kept."""
    for dataset in ("hopper", "ant"):
        make_run(tmp_path, "bc", f"iwsft/{dataset}/medium-v0")
    written: list[str] = []
    original = Writer.add
    monkeypatch.setattr(Writer, "add", lambda self, name, figure: written.append(name) or original(self, name, figure))

    def drawn() -> set[str]:
        written.clear()
        found = draw(tmp_path, grid_of(tmp_path))
        assert all((tmp_path / "figures" / f"{name}.svg").read_text() == svg for name, svg in found.items())
        return set(written)

    assert {"curve-iwsft-hopper-medium-v0", "curve-iwsft-ant-medium-v0", "intervals"} <= drawn()
    assert drawn() == set()
    added = make_run(tmp_path, "sft", "iwsft/ant/medium-v0")
    assert drawn() == {"curve-iwsft-ant-medium-v0", "intervals", "profile", "cost"}
    shutil.rmtree(added)
    assert "curve-iwsft-ant-medium-v0" in drawn()
    shutil.rmtree(next((tmp_path / "runs").glob("*ant*")))
    drawn()
    assert not list((tmp_path / "figures").glob("*ant*"))


def test_pdfs_are_written_on_request_and_never_older_than_their_figure(tmp_path: Path) -> None:
    make_run(tmp_path)
    folder, grid = tmp_path / "figures", grid_of(tmp_path)
    names = draw(tmp_path, grid)
    assert not list(folder.glob("*.pdf"))
    draw(tmp_path, grid, pdf=True)
    assert {path.stem for path in folder.glob("*.pdf")} == set(names)
    draw(tmp_path, grid)  # nothing changed: they stay
    assert {path.stem for path in folder.glob("*.pdf")} == set(names)
    make_run(tmp_path, "sft")
    again = draw(tmp_path, grid_of(tmp_path))
    assert "curve-iwsft-hopper-medium-v0" in again
    assert not list(folder.glob("*.pdf"))


def test_a_figure_from_elsewhere_is_drawn_again(tmp_path: Path) -> None:
    """An edited file, and a folder that was copied with a list of what was drawn, are not trusted."""
    make_run(tmp_path / "a", "bc")
    draw(tmp_path / "a", grid_of(tmp_path / "a"))
    shutil.copytree(tmp_path / "a", tmp_path / "b")
    for suite in (tmp_path / "a", tmp_path / "b"):
        path = suite / "figures" / "profile.svg"
        path.write_text(path.read_text().replace("score s", "forged "))
        found = draw(suite, grid_of(suite))
        assert "score s" in found["profile"]
        assert "forged" not in path.read_text()


def test_chosen_methods_are_drawn(tmp_path: Path) -> None:
    make_suite(tmp_path)
    make_run(tmp_path, "iw_sft", "iwsft/hopper/medium-v0", temperature=3.0)
    grid = grid_of(tmp_path)
    assert drawn_methods(grid, ("bc", "iw_sft temperature=3.0")) == ["bc", "iw_sft temperature=3.0"]
    assert drawn_methods(grid, ("iw_sft",)) == ["iw_sft temperature=3.0", "iw_sft temperature=10.0"]
    with pytest.raises(RunError, match="--methods iql: no such method; expected one of bc, sft"):
        drawn_methods(grid, ("bc", "iql"))


def test_of_many_methods_the_best_are_drawn(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(draw_module, "MOST", 2)
    make_suite(tmp_path, ["a", "b", "c", "d"])  # later ones are better
    assert drawn_methods(grid_of(tmp_path)) == ["c", "d"]


def test_no_two_methods_share_colour_and_marker() -> None:
    own = looks(["iw_sft_q_step", "pear"])  # their digests give both the same
    assert own["pear"] != looks(["pear"])["pear"]
    for methods in (own, looks([*PLACES, *(f"m{i}" for i in range(POINTS - len(PLACES)))])):
        points = {(look.colour, look.marker) for look in methods.values()}
        assert len(points) == len(methods)


def test_the_methods_of_suite_paper_differ_in_colour() -> None:
    own = looks(["bc", "filtered_bc", "sft", "sft_q", "iw_sft", "iw_sft_q", "dft"])
    assert len({look.colour for look in own.values()}) == len(own)


def test_a_method_looks_the_same_beside_others() -> None:
    alone, together = looks(["iql"]), looks(["bc", "mine", "iw_sft temperature=3.0", "iql"])
    assert alone["iql"] == together["iql"]
    assert looks(["mine"])["mine"] == together["mine"]
    assert len(set(looks([*PLACES, *(f"m{i}" for i in range(40))]).values())) == len(PLACES) + 40
    assert sorted(PLACES) == sorted(path.stem for path in (ROOT / "conf" / "algo").glob("*.yaml"))


def test_the_tuning_figure_shows_the_expected_best_scores(tmp_path: Path) -> None:
    """Three configurations that always score 10, 20 and 60: one at random is worth 30, the best of two (20 + 60 + 60) / 3, of all 60."""
    for temperature, level in ((1.0, 100.0), (3.0, 200.0), (5.0, 600.0)):
        make_run(tmp_path, "iw_sft", temperature=temperature, change=lambda rows, x=level: [r | {"return": x} for r in rows])
    with matplotlib.rc_context(RC):
        (figure,) = tuning(suite_runs(tmp_path)).values()
    tried, spent = figure.axes
    assert (tried.get_xlabel(), spent.get_xlabel()) == ("configurations tried", "episodes spent")
    lines = {line.get_label().split(", ")[1]: (line, other) for line, other in zip(tried.get_lines(), spent.get_lines(), strict=True)}
    for name, episodes, tolerance in (("all episodes", 12, 1e-6), ("1 a trial", 1, 2), ("5 a trial", 5, 2)):
        for line, factor in zip(lines[name], (1, episodes), strict=True):
            np.testing.assert_allclose(line.get_xdata(), np.array([1, 2, 3]) * factor)
            np.testing.assert_allclose(line.get_ydata(), [30, 140 / 3, 60], atol=tolerance)


def test_an_svg_is_the_same_each_time(tmp_path: Path) -> None:
    make_suite(tmp_path)
    grid = grid_of(tmp_path)
    first, second = (svg_of(figures(grid)["profile"]) for _ in range(2))
    assert first == second


def test_a_legend_of_many_methods_leaves_the_axes_their_height() -> None:
    heights = []
    for count in (3, 19):
        with matplotlib.rc_context(RC):
            figure, axes = canvas()
            for i in range(count):
                axes.plot([0, 1], [i, i], label=f"method_{i}")
            legend(figure, axes)
            figure.canvas.draw()
        heights.append(axes.get_position().height * figure.get_figheight())
    assert heights[1] > 0.9 * heights[0]


@pytest.mark.parametrize("name", ["sft", "rebrac policy_penalty=0.05 critic_penalty=0.001", "edac critics=50 eta=1.0 learning_rate=0.0003"])
def test_a_legend_of_long_names_stays_in_the_figure(name: str) -> None:
    with matplotlib.rc_context(RC):
        figure, axes = canvas()
        for i in range(5):
            axes.plot([0, 1], [i, i], label=f"{name}{i}")
        legend(figure, axes)
        figure.canvas.draw()
        box = figure.legends[0].get_window_extent()
    assert box.x0 >= 0
    assert box.x1 <= figure.bbox.width


def test_bands_of_many_methods_are_left_out(tmp_path: Path) -> None:
    """Bands of ten methods would cover the lines and stretch the axes."""
    for i in range(10):
        make_run(tmp_path, f"m{i}", "iwsft/ant/few-v0" if i == 9 else "iwsft/hopper/medium-v0", seeds=[0, 1])
        make_run(tmp_path, f"m{i}", "iwsft/ant/many-v0", seeds=[0, 1])
    grid = grid_of(tmp_path)
    found = learning_curves(grid, looks(grid.methods))
    bands = {name: len(figure.axes[0].collections) for name, figure in found.items()}
    assert bands == {"curve-iwsft-ant-many-v0": 0, "curve-iwsft-hopper-medium-v0": 9, "curve-iwsft-ant-few-v0": 1}


def test_coinciding_lines_of_a_profile_have_separate_markers(tmp_path: Path) -> None:
    for i in range(6):
        make_run(tmp_path, f"m{i}", seeds=[0, 1], change=lambda rows: [r | {"return": 50.0} for r in rows])
    grid = grid_of(tmp_path)
    lines = profile(grid, looks(grid.methods))["profile"].axes[0].get_lines()
    starts = [line.get_markevery()[0] for line in lines]
    assert len(set(starts)) == 6


def test_methods_differ_in_grey_and_neighbours_in_lightness() -> None:
    """Line style and marker distinguish methods without colour; successive colours differ in lightness."""
    look = looks([f"m{i}" for i in range(20)])
    assert len({(x.line, x.marker) for x in look.values()}) == 20
    grey = [float(np.dot(matplotlib.colors.to_rgb(c), [0.299, 0.587, 0.114])) for c in COLOURS]
    assert all(abs(a - b) > 0.1 for a, b in pairwise(grey))
