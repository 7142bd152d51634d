"""tables, merge and compare on the command line."""

from __future__ import annotations

from pathlib import Path

import pytest

from bench import cli
from bench.report.render import aligned
from bench.results.leaderboard import read_board
from tests.helpers.suites import make_run, make_suite


def test_tables(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    make_run(tmp_path, "bc")
    make_run(tmp_path, "sft", final_episodes=6)
    assert cli.run(["tables", str(tmp_path)]) == 2
    error = capsys.readouterr().err
    assert error.startswith("error: ")
    assert error.count("\n") == 1
    assert "--mixed" in error
    assert not list(tmp_path.glob("[a-z]*.*"))
    assert cli.run(["tables", str(tmp_path), "--mixed"]) == 0
    assert capsys.readouterr().out == aligned((tmp_path / "table.md").read_text())
    assert (tmp_path / "report.html").is_file()


def test_tables_without_a_run(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.run(["tables", str(tmp_path)]) == 2
    assert capsys.readouterr().err.startswith(f"error: {tmp_path}: no finished run")


def test_merge(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    make_suite(tmp_path / "suite", ["bc"])
    assert cli.run(["tables", str(tmp_path / "suite")]) == 0
    path = tmp_path / "suite" / "leaderboard.csv"
    paper = read_board(path)[:1].assign(source="published", citation="Someone 2025", config_hash="", algo="other")
    paper.to_csv(tmp_path / "paper.csv", index=False)
    arguments = ["merge", str(path), str(tmp_path / "paper.csv"), "--out", str(tmp_path / "all.csv")]
    assert cli.run(arguments) == 0
    assert len(read_board(tmp_path / "all.csv")) == 7
    assert cli.run([*arguments, "--source", "ours"]) == 0
    assert (tmp_path / "all.csv").read_text() == path.read_text()
    capsys.readouterr()
    assert cli.run(["merge", str(path), str(tmp_path / "nowhere.csv")]) == 2
    assert capsys.readouterr().err.count("\n") == 1


def test_merge_of_folders_copies_runs_and_writes_their_tables(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for name, algo in (("a", "bc"), ("b", "sft")):
        make_run(tmp_path / name / "reference", algo)
    folders, out = [str(tmp_path / name / "reference") for name in "ab"], tmp_path / "all"
    assert cli.run(["merge", *folders, "--out", str(out)]) == 0
    assert capsys.readouterr().out.endswith(f"2 runs copied to {out}\n")
    assert set(read_board(out / "leaderboard.csv")["algo"]) == {"bc", "sft"}
    for arguments, line in (
        (folders, "needs --out FOLDER"),
        ([*folders, "--out", str(out), "--source", "ours"], "takes neither --selection nor --source"),
        ([folders[0], str(out / "leaderboard.csv"), "--out", "x"], "leaderboard.csv: expected a suite's folder, as the others are"),
    ):
        assert cli.run(["merge", *arguments]) == 2
        error = capsys.readouterr().err
        assert line in error
        assert error.count("\n") == 1


def test_compare(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    a, b = make_run(tmp_path / "a", "bc"), make_run(tmp_path / "b", "sft", final_episodes=6)
    assert cli.run(["compare", str(a), str(b)]) == 2
    assert capsys.readouterr().err.count("\n") == 1
    assert cli.run(["compare", str(a), str(b), "--mixed"]) == 0
    assert "## bc against sft" in capsys.readouterr().out
