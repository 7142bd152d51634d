"""Published scores stand beside ours: in tables of their own, with their citation, in no average and no rank."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from bench import cli
from bench.errors import RunError
from bench.report.page.build import write_report
from bench.report.suite import rebuild
from bench.report.wanted import TableOptions
from bench.results import published
from bench.results.leaderboard import merge, read_board
from tests.helpers.suites import make_run, make_suite

ASKED = TableOptions(published=True)


def test_they_are_shown_when_asked_for_and_only_the_same_tasks(tmp_path: Path) -> None:
    make_suite(tmp_path)  # hopper and walker2d, medium
    assert "Published" not in rebuild(tmp_path)
    assert set(read_board(tmp_path / "leaderboard.csv")["source"]) == {"ours"}
    table = rebuild(tmp_path, ASKED)
    ours, theirs = table.split("## Published")
    assert "-v2" not in ours
    assert published.WARNING in theirs
    last = theirs[: theirs.index("Selection: best")]
    assert "| method | hopper-medium-v2 | walker2d-medium-v2 |" in last  # ten methods: turned
    assert "| bc | 53.5 +- 1.8 |" in last
    assert "| filtered_bc | 55.5 +- 7.3 |" in last
    assert "halfcheetah" not in theirs
    assert "medium-replay" not in theirs


def test_a_run_may_ask_for_them_itself(tmp_path: Path) -> None:
    make_run(tmp_path, "bc", published=True)
    assert "## Published" in rebuild(tmp_path)


def test_their_rows_say_where_they_are_from_and_leave_ours_as_they_are(tmp_path: Path) -> None:
    make_suite(tmp_path)
    before = rebuild(tmp_path)
    ours = read_board(tmp_path / "leaderboard.csv")
    files = [(tmp_path / name).read_bytes() for name in ("table.tex", "table.csv", "scores.csv")]
    after = rebuild(tmp_path, ASKED)
    assert after.startswith(before)  # means, intervals and bold are the same to the byte
    assert files == [(tmp_path / name).read_bytes() for name in ("table.tex", "table.csv", "scores.csv")]
    board = read_board(tmp_path / "leaderboard.csv")
    pd.testing.assert_frame_equal(board[board["source"] == "ours"].reset_index(drop=True), ours, check_dtype=False)
    theirs = board[board["source"] == "published"]
    assert set(theirs["reference"]) == {published.FAMILY}
    assert theirs["citation"].str.contains("arXiv").all()
    assert set(theirs["std_ddof"]) == {0}
    assert set(ours["std_ddof"]) == {1}
    assert set(theirs["selection"]) == {"last", "best", "unstated"}


def test_every_number_is_the_papers(tmp_path: Path) -> None:
    everything = pd.DataFrame(published.rows([f"{e}-{q}-v2" for e in ("hopper", "halfcheetah", "walker2d") for q in QUALITIES]))
    assert len(everything) == 180 + 45
    for name in ("corl.csv", "iql_paper.csv"):
        raw = pd.read_csv(Path(published.__file__).parent / name)
        own = everything[everything["citation"] == next(s.citation for s in published.SOURCES if s.file == name)]
        assert list(own["score_mean"]) == list(raw["mean"])
        assert list(own["dataset"]) == list(raw["dataset"])
        assert list(own["algo"]) == [published.METHODS[a] for a in raw["algorithm"]]
    row = everything.query("dataset == 'hopper-medium-expert-v2' and algo == 'awac' and selection == 'best'").iloc[0]
    assert (row["score_mean"], row["score_std"]) == (113.26, 0.49)


QUALITIES = ("medium", "medium-replay", "medium-expert")


@pytest.mark.parametrize(
    ("dataset", "count"),
    [
        ("iwsft/hopper/medium-replay-v0", 25), ("mujoco/hopper/medium-v0", 25), ("d4rl/walker2d-medium-expert-v2", 25),
        ("iwsft/hopper/medium-replay-v0@top:5%", 0), ("iwsft/ant/medium-v0", 0), ("mujoco/hopper/simple-v0", 0),
        ("own/shopper/medium-v0", 0),
    ],
)  # fmt: skip
def test_which_tasks_they_are_of(dataset: str, count: int) -> None:
    assert len(published.rows([dataset])) == count


def test_last_and_best_and_two_papers_never_share_a_table() -> None:
    tables = published.sections(published.rows(["iwsft/hopper/medium-v0"]))
    assert [t.note.split(".")[0] for t in tables] == ["Selection: last", "Selection: best", "Selection: unstated"]
    assert ["ddof 0" in t.note for t in tables] == [True, True, False]
    assert all(len(cells) == len(t.methods) for t in tables for _, cells in t.rows)


def test_merge_refuses_them_beside_ours_or_leaves_them_out(tmp_path: Path) -> None:
    make_suite(tmp_path)
    rebuild(tmp_path, ASKED)
    path = tmp_path / "leaderboard.csv"
    with pytest.raises(RunError, match="--source ours"):
        merge([(path, read_board(path))])
    assert cli.run(["merge", str(path), "--source", "ours", "--out", str(tmp_path / "ours.csv")]) == 0
    assert set(read_board(tmp_path / "ours.csv")["source"]) == {"ours"}


def test_the_page_shows_them_in_tables_of_their_own(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("bench.report.page.build.draw", lambda suite, runs: {})
    make_suite(tmp_path)
    assert 'id="published"' not in write_report(tmp_path).read_text()
    page = write_report(tmp_path, ASKED).read_text()
    section = page[page.index('id="published"') : page.index('id="table"')]
    assert "hopper-medium-v2" in section
    assert section.count("<table") == 3
    assert "hopper-medium-v2" not in page.replace(section, "")  # so not in the sortable leaderboard
    assert np.all([s.citation in page for s in published.SOURCES])
