"""Rebuilding a suite: all files from one reading of its runs, or none."""

from __future__ import annotations

import re
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from bench.errors import DataError, RunError
from bench.report.suite import TABLES, rebuild
from bench.report.tables import PUBLISHED_WARNING
from bench.results import csv_files
from bench.results.leaderboard import read_board
from bench.results.protocol import TableOptions
from tests.helpers.suites import make_run, make_suite


def test_tables_figures_and_page(tmp_path: Path) -> None:
    make_suite(tmp_path)
    table = rebuild(tmp_path)
    assert table == (tmp_path / "table.md").read_text()
    assert {p.name for p in tmp_path.glob("[a-z]*.*")} == {*TABLES, "report.html"}
    assert (tmp_path / "figures" / "intervals.svg").is_file()


def test_runs_are_read_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    make_suite(tmp_path, ["bc"])
    read = []
    original = csv_files.read_bytes
    monkeypatch.setattr(csv_files, "read_bytes", lambda folder, *args: read.append((folder, args[0])) or original(folder, *args))
    rebuild(tmp_path)
    episodes = [path for path in read if path[1] == "episodes.csv"]
    assert len(episodes) == len(set(episodes)) == 2


def test_a_rebuilt_suite_is_the_same_to_the_byte(tmp_path: Path) -> None:
    make_suite(tmp_path)
    texts = []
    for _ in range(2):
        rebuild(tmp_path, page=False)
        texts.append([(tmp_path / name).read_bytes() for name in TABLES])
    assert texts[0] == texts[1]


def test_every_format_has_the_numbers_of_the_leaderboard(tmp_path: Path) -> None:
    make_suite(tmp_path)
    table = rebuild(tmp_path, page=False)
    board = read_board(tmp_path / "leaderboard.csv")
    row = board[(board["algo"] == "bc") & (board["dataset"].str.contains("walker")) & (board["selection"] == "last")].iloc[0]
    value, half = f"{row['score_mean']:.1f}", f"{row['score_ci_high'] - row['score_mean']:.1f}"
    assert f"| {row['dataset']} | {value} +- {half} |" in table
    assert rf"{row['dataset']} & ${value} \pm {half}$ &" in (tmp_path / "table.tex").read_text()
    numbers = pd.read_csv(tmp_path / "table.csv").query("algo == 'bc' and statistic == 'mean'").set_index("name")
    assert numbers.loc[row["dataset"], "value"] == row["score_mean"]
    means = board[(board["algo"] == "bc") & (board["selection"] == "last")]["score_mean"]
    assert numbers.loc["overall", "value"] == pytest.approx(means.mean(), rel=1e-5)


def test_several_protocols_are_refused_before_anything_is_written(tmp_path: Path) -> None:
    make_run(tmp_path, "bc")
    make_run(tmp_path, "sft", final_episodes=6)
    make_run(tmp_path, "bc", "D4RL/kitchen/mixed-v2", reference={"name": "d4rl", "random": 0.0, "expert": 4.0})
    with pytest.raises(RunError, match=r"d4rl \(bc\) and iwsft \(bc, sft\); .* 4 \(bc\) and 6 \(sft\).*--mixed"):
        rebuild(tmp_path)
    assert not list(tmp_path.glob("[a-z]*.*"))
    table = rebuild(tmp_path, TableOptions(mixed=True), page=False)
    assert table.count("| data set |") == 3
    for part in table.split("Score (reference set")[1:]:
        assert ("d4rl" in part) != ("iwsft/" in part)
    assert (tmp_path / "table.tex").read_text().count(r"\toprule") == 3


def test_a_run_may_allow_several_protocols(tmp_path: Path) -> None:
    make_run(tmp_path, "bc")
    make_run(tmp_path, "sft", final_episodes=6, mixed=True)
    assert rebuild(tmp_path, page=False).count("| data set |") == 2


def test_a_damaged_run_leaves_no_tables(tmp_path: Path) -> None:
    make_run(tmp_path, change=lambda rows: rows[:-1])
    with pytest.raises(RunError, match="line 19: expected update 200, seed 2, episode 3, found the end"):
        rebuild(tmp_path)
    assert not list(tmp_path.glob("[a-z]*.*"))


def test_published_scores_are_tables_of_their_own(tmp_path: Path) -> None:
    make_suite(tmp_path)  # hopper and walker2d, medium
    before = rebuild(tmp_path, page=False)
    assert "Published" not in before
    ours = read_board(tmp_path / "leaderboard.csv")
    files = [(tmp_path / name).read_bytes() for name in TABLES if name not in ("table.md", "leaderboard.csv")]
    after = rebuild(tmp_path, TableOptions(published=True), page=False)
    assert after.startswith(before)  # means, intervals and bold are the same to the byte
    assert files == [(tmp_path / name).read_bytes() for name in TABLES if name not in ("table.md", "leaderboard.csv")]
    _, theirs = after.split("## Published")
    assert PUBLISHED_WARNING in theirs
    last = theirs[: theirs.index("Selection: best")]
    assert "| method | hopper-medium-v2 | walker2d-medium-v2 |" in last
    assert "| bc | 53.5 +- 1.8 |" in last
    assert "| filtered_bc | 55.5 +- 7.3 |" in last
    assert "halfcheetah" not in theirs
    board = read_board(tmp_path / "leaderboard.csv")
    pd.testing.assert_frame_equal(board[board["source"] == "ours"].reset_index(drop=True), ours, check_dtype=False)
    assert np.all(board[board["source"] == "published"]["citation"] != "")


def test_a_run_may_ask_for_published_scores(tmp_path: Path) -> None:
    make_run(tmp_path, "bc", published=True)
    assert "## Published" in rebuild(tmp_path, page=False)


def test_without_the_extra_tables_are_written_and_one_line_names_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    make_run(tmp_path)
    monkeypatch.setattr("bench.report.suite.missing_package", lambda *names: "jinja2")
    rebuild(tmp_path)
    assert {p.name for p in tmp_path.glob("[a-z]*.*")} == set(TABLES)
    assert capsys.readouterr().err == "no figures and no report.html: jinja2 is not installed; pip install 'iwsft-bench[report]'\n"


@pytest.mark.parametrize("arguments", [{"seeds": [0]}, {"reference": None}, {"seeds": [0], "reference": None}])
def test_a_single_run_has_all_files(tmp_path: Path, arguments: dict) -> None:
    make_run(tmp_path, **arguments)
    table = rebuild(tmp_path)
    assert "| data set | bc |" in table
    assert "nan" not in table
    assert r"\toprule" in (tmp_path / "table.tex").read_text()


@pytest.mark.parametrize("name", ["figures", ".cache", ".locks"])
def test_a_link_in_a_suite_leads_no_table_or_figure_elsewhere(name: str, tmp_path: Path) -> None:
    """Figures of another suite would be replaced, and those that its drawn.json names removed."""
    make_suite(tmp_path / "suite", ["bc"])
    (tmp_path / "own").mkdir()
    (tmp_path / "suite" / name).symlink_to(tmp_path / "own")
    with pytest.raises(DataError, match=rf"suite/{re.escape(name)}: is a link"):
        rebuild(tmp_path / "suite")
    assert not list((tmp_path / "own").iterdir())
