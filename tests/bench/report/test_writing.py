"""Files of figures: those that helpers write are those that this process would write, and none is lost with a helper."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from matplotlib.figure import Figure

from bench.report.figures import writing
from bench.report.figures.draw import draw
from bench.report.figures.writing import Writer
from bench.results.grid import grids
from bench.results.runs import suite_runs
from tests.helpers.suites import make_suite


@pytest.fixture
def helped(monkeypatch: pytest.MonkeyPatch) -> None:
    """One helper, from the first figure on, whatever runs the tests."""
    monkeypatch.setattr(writing, "available_cores", lambda: 2)
    monkeypatch.setattr(writing, "may_spawn", lambda: True)
    monkeypatch.setattr(writing, "MANY", 1)


def test_helpers_write_the_same_files(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, request: pytest.FixtureRequest) -> None:
    make_suite(tmp_path)
    grid, folder = grids(suite_runs(tmp_path))[0], tmp_path / "figures"
    monkeypatch.setattr(writing, "available_cores", lambda: 1)
    alone = draw(tmp_path, grid)
    files = {path.name: path.read_bytes() for path in folder.iterdir() if not path.name.startswith(".")}
    for path in folder.iterdir():
        path.unlink()
    request.getfixturevalue("helped")
    sent: list[str] = []
    add = Writer.add

    def counted(self: Writer, name: str, figure: Figure) -> None:
        before = len(self._sent)
        add(self, name, figure)
        sent.extend([name] * (len(self._sent) - before))

    monkeypatch.setattr(Writer, "add", counted)
    assert draw(tmp_path, grid) == alone
    assert {path.name: path.read_bytes() for path in folder.iterdir() if not path.name.startswith(".")} == files
    assert len(sent) >= 2


class Bomb:
    """Ends the process that reads it from a pipe."""

    def __reduce__(self) -> tuple[object, tuple[int]]:
        return os._exit, (1,)


@pytest.mark.usefixtures("helped")
def test_figures_of_a_helper_that_dies_are_written_here(tmp_path: Path) -> None:
    with Writer(tmp_path, pdf=False, count=3) as writer:
        for name in ("a", "b", "c"):
            figure = Figure(figsize=(1, 1))
            figure.bomb = Bomb()  # type: ignore[attr-defined]
            writer.add(name, figure)
    assert set(writer.svgs) == {"a", "b", "c"}
    assert all((tmp_path / f"{name}.svg").read_text() == svg for name, svg in writer.svgs.items())


@pytest.mark.usefixtures("helped")
def test_an_error_of_a_helper_is_raised(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(OSError, match="file"), Writer(tmp_path / "file", pdf=False, count=1) as writer:
        writer.add("a", Figure(figsize=(1, 1)))


def test_processes_that_may_have_no_helper_write_alone(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(writing, "available_cores", lambda: 2)
    monkeypatch.setattr(writing, "may_spawn", lambda: False)
    with Writer(tmp_path, pdf=False, count=100) as writer:
        writer.add("a", Figure(figsize=(1, 1)))
        assert "a" in writer.svgs
