"""The end of a command that fails: the error comes last. A finished run in a folder that is read only is no error."""

from __future__ import annotations

import errno
import os
from pathlib import Path
from typing import Any

import pytest

from algos.methods.weighted_bc import WeightedBC
from bench import cli
from bench.launch import callbacks, preflight
from bench.report import suite
from bench.report.render import aligned
from tests.helpers.cli import TINY

BC = ["algo=bc", *TINY]


@pytest.fixture
def folder(folder: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(folder)
    monkeypatch.setenv("HYDRA_FULL_ERROR", "0")
    return folder


@pytest.fixture
def defect(monkeypatch: pytest.MonkeyPatch) -> None:
    """A defect in a user's method, met by seed 1."""
    train = WeightedBC.train

    def fails(self: WeightedBC, start: int, stop: int) -> dict:
        return {}["loss"] if self.seeds == [1] else train(self, start, stop)

    monkeypatch.setattr(WeightedBC, "train", fails)


@pytest.mark.usefixtures("folder", "defect")
@pytest.mark.parametrize("before", [False, True], ids=["new folder", "used folder"])
def test_the_traceback_of_a_defect_comes_last(before: bool, capfd: pytest.CaptureFixture[str]) -> None:
    if before:
        assert cli.run([*BC, "seeds=[0]"]) == 0
        capfd.readouterr()
    assert cli.run([*BC, "seeds=[1]"]) == 1
    out, err = capfd.readouterr()
    assert out == ""
    assert err.count("Traceback") == 1
    assert err.endswith("KeyError: 'loss'\n")
    assert "no finished run" not in err


@pytest.mark.usefixtures("defect")
def test_a_sweep_with_a_defect_writes_the_tables_of_the_finished_runs_first(folder: Path, capfd: pytest.CaptureFixture[str]) -> None:
    assert cli.run(["-m", *BC, "seeds=[0],[1],[2]"]) == 1
    out, err = capfd.readouterr()
    assert out.startswith("Score")
    assert err.endswith("KeyError: 'loss'\n")
    assert "Error executing job" not in err
    assert (folder / "results/single/table.md").exists()


@pytest.mark.usefixtures("folder")
@pytest.mark.parametrize(
    ("arguments", "line"),
    [
        (["-m", "hydra.launcher=joblib"], "error: hydra.launcher=joblib: use hydra/launcher=joblib, with a slash, to choose a launcher\n"),
        (["hydra.launcher=joblib"], "error: hydra.launcher=joblib: use hydra/launcher=joblib, with a slash, to choose a launcher\n"),
        (["-m", "hydra.sweeper=optuna"], "error: hydra.sweeper=optuna: use hydra/sweeper=optuna, with a slash, to choose a sweeper\n"),
    ],
)
def test_a_launcher_chosen_with_a_dot(arguments: list[str], line: str, capfd: pytest.CaptureFixture[str]) -> None:
    assert cli.run([*arguments, *BC]) == 2
    assert capfd.readouterr().err == line


def test_results_dir_below_a_link_to_nothing(folder: Path, capfd: pytest.CaptureFixture[str]) -> None:
    (folder / "link").symlink_to("nowhere")
    for arguments in (BC, ["-m", *BC]):
        assert cli.run([*arguments, "results_dir=link/results"]) == 2
        line = capfd.readouterr().err.splitlines()[-1]
        assert line.startswith("error: results_dir = link/results: ")
        assert line.endswith("link is a link to nowhere, which does not exist; make that folder, or remove the link")


def test_a_finished_run_on_a_read_only_disk(folder: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]) -> None:
    """The run counts as finished before, with exit code 0 and its table printed; nothing is written. A new run is a mistake."""
    assert cli.run([*BC, "seeds=[0]"]) == 0
    table = (folder / "results/single/table.md").read_text()
    before = {p: p.stat().st_mtime_ns for p in (folder / "results").rglob("*")}
    capfd.readouterr()

    def read_only(*_: Any) -> Any:
        raise OSError(errno.EROFS, os.strerror(errno.EROFS), "results/single/.locks")

    monkeypatch.setattr(suite, "tables_lock", read_only)
    for module in (preflight, callbacks):
        monkeypatch.setattr(module.os, "access", lambda path, mode: not str(path).startswith(str(folder / "results")))
    for arguments in ([], ["-m"]):
        assert cli.run([*arguments, *BC, "seeds=[0]"]) == 0
        out, err = capfd.readouterr()
        assert "finished before" in err
        assert out.startswith(aligned(table))
        assert "cannot be written (Read-only file system)" in out
    assert {p: p.stat().st_mtime_ns for p in (folder / "results").rglob("*")} == before
    (folder / "results/single/table.md").unlink()
    assert cli.run([*BC, "seeds=[0]"]) == 0
    assert "cannot be written (Read-only file system): it has no table" in capfd.readouterr().out
    assert cli.run([*BC, "results_dir=results/new"]) == 2
    assert "results is not writable" in capfd.readouterr().err
