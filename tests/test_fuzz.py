"""Fuzzing of every reader of files of unknown origin: a mutated file is read, or refused in one line; nothing else may happen.

`make fuzz` tries 10,000 mutations of each file (500 where figures are drawn); the fast tests try 200, or 20 where reading takes longer,
always the same ones.
"""

from __future__ import annotations

import contextlib
import io
import os
import warnings
from collections.abc import Callable
from contextlib import ExitStack
from pathlib import Path
from typing import Any, NamedTuple

import h5py
import numpy as np
import pytest
import torch

pytest.importorskip("hypothesis")

from hypothesis import HealthCheck, given, settings

from bench.config.saved import load_config
from bench.errors import USER_ERRORS
from bench.replay.load import read_policy
from bench.report.figures import curves, draw
from bench.report.figures.style import looks
from bench.report.figures.writing import svg_of
from bench.report.render import html, latex, long_csv, markdown
from bench.report.suite import _marked, rebuild
from bench.report.tables import table_of
from bench.results import known
from bench.results.grid import grids
from bench.results.leaderboard import read_board
from bench.results.runs import open_run, read_curve, read_suite
from bench.storage import manifest
from bench.storage.tensors import pack
from envs.readers import d4rl_file
from envs.readers.join import open_dataset
from tests.helpers.episodes import PENDULUM
from tests.helpers.mutations import edits, mutated
from tests.helpers.suites import make_run, make_suite, with_hashes

COUNT = int(os.environ.get("FUZZ", "200"))
SLOW = COUNT if COUNT > 200 else 20  # of readers that take longer


class Case(NamedTuple):
    """A file, and the function that reads it."""

    path: Path
    read: Callable[[], Any]


def fuzz(case: Case, count: int) -> None:
    """Read `count` mutations of the file of `case`. Asserts that each is read, or refused in one printable line."""
    original = case.path.read_bytes()

    @settings(max_examples=count, derandomize=True, deadline=None, database=None, suppress_health_check=list(HealthCheck))
    @given(edits)
    def attempt(found: Any) -> None:
        case.path.write_bytes(mutated(original, found))
        try:
            with warnings.catch_warnings(), contextlib.redirect_stderr(io.StringIO()), contextlib.redirect_stdout(io.StringIO()):
                warnings.simplefilter("ignore")
                case.read()
        except USER_ERRORS as error:
            line = str(error)
        else:
            line = ""
        assert "\n" not in line

    try:
        attempt()
    finally:
        case.path.write_bytes(original)


@pytest.mark.parametrize("name", ["run.json", "config.yaml", "episodes.csv"])
def test_a_run(name: str, tmp_path: Path) -> None:
    folder = make_run(tmp_path / "suite")
    fuzz(Case(folder / name, lambda: open_run(folder, whole=False)), COUNT)


def test_the_configuration_of_a_run(tmp_path: Path) -> None:
    folder = make_run(tmp_path / "suite")
    fuzz(Case(folder / "config.yaml", lambda: load_config(folder)), SLOW)


def test_a_curve(tmp_path: Path) -> None:
    folder = make_run(tmp_path / "suite")
    fuzz(Case(folder / "curve.csv", lambda: read_curve(folder)), COUNT)


def test_a_manifest(tmp_path: Path) -> None:
    folder = make_run(tmp_path / "suite")
    manifest.sign(folder)
    fuzz(Case(folder / manifest.NAME, lambda: manifest.damage(folder)), COUNT)


def test_policies(tmp_path: Path) -> None:
    path = tmp_path / "policy.safetensors"
    path.write_bytes(pack({"weight": torch.zeros(2, 3), "bias": torch.ones(2, dtype=torch.float64)}, {"update": "3"}))
    fuzz(Case(path, lambda: read_policy(path)), COUNT)


def test_a_leaderboard(tmp_path: Path) -> None:
    make_suite(tmp_path / "suite", ["bc"])
    rebuild(tmp_path / "suite", page=False)
    path = tmp_path / "suite" / "leaderboard.csv"
    fuzz(Case(path, lambda: read_board(path)), COUNT)


@pytest.fixture
def unflushed(monkeypatch: pytest.MonkeyPatch) -> None:
    """Files that no power failure is to spare."""
    monkeypatch.setattr("envs.files.flush", lambda path: None)
    monkeypatch.setattr("envs.files._flush_folder", lambda folder: None)


class Rebuilding:
    """Writes tables and page of a suite of two runs, one of which is mutated, wherever the mutation is read.

    Where it is refused, the other run's tables are those of every refusal but for its line: the line alone is rendered.
    """

    def __init__(self, suite: Path) -> None:
        self.suite = suite
        rebuild(suite)
        self.tables = list(map(table_of, grids(read_suite(suite).runs)))

    def __call__(self) -> None:
        found = read_suite(self.suite)
        if not found.left_out:
            rebuild(self.suite)
            return
        assert len(found.runs) == 1
        for table in _marked(self.tables, found.left_out):
            for render in (markdown, html, lambda table: latex([table]), lambda table: long_csv([table])):
                assert render(table)


@pytest.mark.usefixtures("unflushed")
@pytest.mark.parametrize("name", ["run.json", "config.yaml", "episodes.csv"])
def test_tables_and_page(name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Without figures. A damaged run changes nothing for the others: their tables are written."""
    monkeypatch.setattr(draw, "draw", lambda *arguments: {})
    make_run(tmp_path / "suite", "sft")
    folder = make_run(tmp_path / "suite", "iw_sft")
    fuzz(Case(folder / name, Rebuilding(tmp_path / "suite")), SLOW)


@pytest.mark.parametrize("name", ["run.json", "config.yaml", "episodes.csv", "curve.csv"])
def test_figures(name: str, tmp_path: Path) -> None:
    """Every figure of a mutation that is read, as SVG; curve.csv is shown by the importance weights alone."""
    suite = tmp_path / "suite"
    make_run(suite, "sft")
    folder = make_run(suite, "iw_sft")

    def read() -> None:
        found = read_suite(suite)
        if found.left_out:
            return
        grid = grids(found.runs)[0]
        figures = curves.weight_diagnostics(grid, looks(grid.methods)) if name == "curve.csv" else draw.figures(grid)
        for figure in figures.values():
            draw.explain_signs(figure)
            svg_of(figure)

    fuzz(Case(folder / name, read), COUNT // 20 if COUNT > 200 else 3)


def test_a_cache_of_runs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A damaged cache is ignored: the runs are read anew."""
    monkeypatch.setattr(known, "AGE", 0.0)
    suite = tmp_path / "suite"
    for algo in ("bc", "sft"):
        with_hashes(make_run(suite, algo))
    read_suite(suite, remember=True)
    whole = known.Known(suite)
    assert len(whole.entries) == 2

    def read() -> None:
        found = known.Known(suite)
        assert found.entries in ({}, whole.entries)
        assert all((values == whole.columns[name]).all() for name, values in found.columns.items())

    fuzz(Case(suite / known.NAME, read), COUNT)


def test_a_file_of_d4rl(tmp_path: Path) -> None:
    path = tmp_path / "file.hdf5"
    with h5py.File(path, "w") as file:
        for name, width in (("observations", 3), ("actions", 2)):
            file.create_dataset(name, data=np.random.default_rng(0).normal(size=(20, width)), compression="gzip")
        file["rewards"], file["terminals"] = np.ones(20), np.arange(20) % 5 == 4
    fuzz(Case(path, lambda: d4rl_file.check(path)), COUNT)


@pytest.fixture
def dataset(pendulum_data: Callable[..., Any], minari_root: Path) -> Path:
    """The folder of a Minari data set of three episodes."""
    pendulum_data(count=3)
    return minari_root / PENDULUM


def _read_dataset(folder: Path) -> None:
    with ExitStack() as stack:
        opened = open_dataset(PENDULUM, folder, stack)
        for episode in range(len(opened.files.lengths)):
            opened.files.read(episode)


@pytest.mark.parametrize("name", ["metadata.json", "main_data.hdf5"])
def test_a_data_set_of_minari(name: str, dataset: Path) -> None:
    fuzz(Case(dataset / "data" / name, lambda: _read_dataset(dataset)), COUNT)
