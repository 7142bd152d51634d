"""Shards put together: folders of runs, and leaderboards."""

from __future__ import annotations

import os
from pathlib import Path

import pandas as pd
import pytest

from bench.errors import RunError
from bench.results.leaderboard import board_csv, board_of
from bench.results.merging import merge
from bench.results.runs import suite_runs
from bench.results.shards import merge_suites
from tests.helpers.suites import make_run


def shard(folder: Path, *algos: str, **record: object) -> Path:
    """A shard of the suite `reference` with these methods, its leaderboard beside its runs."""
    for algo in algos:
        make_run(folder / "reference", algo, **record)
    suite = folder / "reference"
    (suite / "leaderboard.csv").write_text(board_csv(board_of(suite, suite_runs(suite))))
    return suite


def methods(folder: Path) -> list[str]:
    return sorted(record["algo"] for record, _ in suite_runs(folder))


def test_runs_of_shards_are_copied_once(tmp_path: Path) -> None:
    one, two, out = shard(tmp_path / "a", "bc", "iql"), shard(tmp_path / "b", "iql", "awr"), tmp_path / "all" / "reference"
    assert merge_suites([one, two], out) == 3
    assert methods(out) == ["awr", "bc", "iql"]
    assert merge_suites([one, two], out) == 0
    make_run(one, "crr")
    assert merge_suites([one], out) == 1
    assert methods(out) == ["awr", "bc", "crr", "iql"]
    name = next(path.name for path in (one / "runs").iterdir() if "bc" in path.name)
    files = [{path.name: path.read_bytes() for path in (folder / "runs" / name).iterdir()} for folder in (one, out)]
    assert files[0] == files[1]


def test_links_in_a_shard_are_not_copied(tmp_path: Path) -> None:
    one = shard(tmp_path / "a", "bc")
    (run,) = (one / "runs").iterdir()
    os.symlink("/etc/hostname", run / "note")
    merge_suites([one], tmp_path / "out")
    (copy,) = (tmp_path / "out" / "runs").iterdir()
    assert sorted(p.name for p in copy.iterdir()) == sorted(p.name for p in run.iterdir() if p.name != "note")


@pytest.mark.parametrize(
    ("record", "reason"),
    [
        ({"code_revision": "def"}, r"a/reference\S* by abc and .*b/reference\S* by def\. Shards of one suite share their code"),
        ({"final_episodes": 8}, r"numbers of episodes differ, 4 \(bc\) and 8 \(iql\)"),
        ({"reference": {"name": "other", "random": 0.0, "expert": 5.0}}, r"reference sets differ, iwsft \(bc\) and other \(iql\)"),
    ],
)
def test_shards_of_different_protocols_or_revisions_are_refused(tmp_path: Path, record: dict[str, object], reason: str) -> None:
    one, two, out = shard(tmp_path / "a", "bc"), shard(tmp_path / "b", "iql", **record), tmp_path / "out"
    with pytest.raises(RunError, match=reason):
        merge_suites([one, two], out)
    assert not out.exists()
    with pytest.raises(RunError, match=reason):
        merge([one / "leaderboard.csv", two / "leaderboard.csv"], selection="last")
    assert merge_suites([one, two], out, mixed=True) == 2
    assert len(merge([one / "leaderboard.csv", two / "leaderboard.csv"], mixed=True, selection="last")) == 2


def test_a_shard_of_another_revision_than_the_folder_that_it_joins_is_refused(tmp_path: Path) -> None:
    one, two = shard(tmp_path / "a", "bc"), shard(tmp_path / "b", "iql", code_revision="def")
    with pytest.raises(RunError, match="different code revisions"):
        merge_suites([two], one)
    assert methods(one) == ["bc"]


def test_leaderboards_of_different_suites_may_differ_in_revision(tmp_path: Path) -> None:
    one = shard(tmp_path / "a", "bc")
    make_run(tmp_path / "other", "iql", code_revision="def")
    (tmp_path / "other" / "leaderboard.csv").write_text(board_csv(board_of(tmp_path / "other", suite_runs(tmp_path / "other"))))
    assert isinstance(merge([one / "leaderboard.csv", tmp_path / "other" / "leaderboard.csv"], selection="last"), pd.DataFrame)


def test_a_folder_without_a_run_is_named(tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    with pytest.raises(RunError, match="empty: no finished run in it"):
        merge_suites([tmp_path / "empty"], tmp_path / "out")


def test_an_unfinished_run_in_the_way_is_named(tmp_path: Path) -> None:
    one, out = shard(tmp_path / "a", "bc"), tmp_path / "out"
    (run,) = (one / "runs").iterdir()
    (out / "runs" / run.name).mkdir(parents=True)
    (out / "runs" / run.name / "run.json").write_text('{"status": "running"}')
    make_run(out, "awr")
    with pytest.raises(RunError, match=f"{run.name}: a run that is not finished"):
        merge_suites([one], out)
