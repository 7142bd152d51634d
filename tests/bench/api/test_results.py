"""Results of a run and of a folder as data frames."""

from __future__ import annotations

import shutil
from pathlib import Path

import numpy as np
import pytest

import bench
from bench.errors import RunError
from bench.report.suite import rebuild


def test_scores_are_those_of_the_raw_returns(run: bench.Run) -> None:
    final = run.episodes[run.episodes["update"] == 40].groupby("seed")["return"].mean()
    scores = run.scores.set_index("seed")
    np.testing.assert_allclose(scores.loc[[1, 3], "return"], final.loc[[1, 3]])
    np.testing.assert_allclose(scores["score"], (scores["return"] - 5) / 995 * 100)


def test_best_and_mean_last_k_follow_from_the_curve(run: bench.Run) -> None:
    curve = run.episodes[run.episodes["episode"] < 2].groupby(["seed", "update"])["return"].mean().unstack("update")
    np.testing.assert_allclose(run.select("best").set_index("seed")["return"], curve.max(axis=1).loc[run.select("best")["seed"]])
    np.testing.assert_allclose(run.select("mean_last_k").set_index("seed")["return"].sort_index(), curve.mean(axis=1).sort_index())
    with pytest.raises(RunError, match="selection first: expected last, best or mean_last_k"):
        run.select("first")


def test_curves_have_every_evaluation_of_every_seed(run: bench.Run) -> None:
    assert set(zip(run.curves["update"], run.curves["seed"], strict=True)) == {(u, s) for u in (20, 40) for s in (3, 1)}
    assert {"return_mean", "loss"} <= set(run.curves)


def test_a_folders_leaderboard_with_and_without_its_runs(run: bench.Run, tmp_path: Path) -> None:
    """Committed folders have leaderboard.csv and scores.csv and no raw runs: both readings agree."""
    suite = run.path.parents[1]
    rebuild(suite)
    for name in ("leaderboard.csv", "scores.csv"):
        shutil.copy(suite / name, tmp_path / name)
    ours, kept = bench.read_results(suite), bench.read_results(tmp_path)
    assert list(ours) == list(kept)
    row, same = (b[(b["selection"] == "last") & (b["config_hash"] == run.record["config_hash"])].iloc[0] for b in (ours, kept))
    assert row["return_mean"] == pytest.approx(run.scores["return"].mean())
    assert same["return_mean"] == pytest.approx(row["return_mean"], rel=1e-5)
    assert len(bench.read_episodes(suite)) == len(bench.read_episodes(tmp_path))


def test_a_folder_without_a_finished_run_is_refused_in_one_line(run: bench.Run, tmp_path: Path) -> None:
    for read in (bench.load_run, bench.read_results, bench.read_episodes):
        with pytest.raises(RunError, match="expected "):
            read(tmp_path)
    unfinished = shutil.copytree(run.path, tmp_path / "run")
    text = (unfinished / "run.json").read_text()
    (unfinished / "run.json").write_text(text.replace('"finished"', '"running"'))
    with pytest.raises(RunError, match="not finished"):
        bench.load_run(unfinished)
