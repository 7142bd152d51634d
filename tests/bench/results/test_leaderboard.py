"""Tables are made of raw runs alone, by stated rules."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from scipy import stats

from bench import cli
from bench.errors import RunError
from bench.report.suite import COLUMNS, SCORE_COLUMNS, rebuild
from bench.results.statistics import summarise
from bench.storage.rundir import EPISODE_COLUMNS, to_csv

RNG = np.random.default_rng(0)
REFERENCE = {"name": "toy", "random": 10.0, "expert": 60.0}


def write_run(
    suite: Path, algo: str, seeds: list[int], dataset: str = "a/b-v0", status: str = "finished", reference: dict | None = REFERENCE
) -> pd.DataFrame:
    """A run of 30 updates, 3 episodes every 10, 5 final ones."""
    rows = [
        {"update": u, "seed": s, "episode": e, "return": float(RNG.normal(30, 5)), "length": 7}
        for u in (10, 20, 30) for s in seeds for e in range(5 if u == 30 else 3)
    ]  # fmt: skip
    record = {
        "suite": suite.name, "dataset": dataset, "algo": algo, "seeds": seeds, "updates": 30, "eval_every": 10, "eval_episodes": 3,
        "final_episodes": 5, "last_k": 2, "reference": reference, "config_hash": f"{algo}-hash", "dataset_digest": "d" * 64,
        "code_revision": "abc", "device": "cpu", "wall_time_s": 1.5, "status": status,
    }  # fmt: skip
    folder = suite / "runs" / f"{dataset.replace('/', '-')}-{algo}"
    folder.mkdir(parents=True)
    (folder / "run.json").write_text(json.dumps(record))
    (folder / "episodes.csv").write_text(to_csv(rows, EPISODE_COLUMNS))
    return pd.DataFrame(rows)


def test_rows_by_hand(tmp_path: Path) -> None:
    suite = tmp_path / "toy"
    episodes = write_run(suite, "bc", [0, 1, 2])
    write_run(suite, "sft", [0, 1, 2], status="running")
    rebuild(suite)
    board = pd.read_csv(suite / "leaderboard.csv").set_index("selection")
    assert list(board.reset_index()[COLUMNS].columns) == COLUMNS == list(pd.read_csv(suite / "leaderboard.csv").columns)
    assert set(board["algo"]) == {"bc"}

    by_seed = {name: [] for name in ("last", "best", "mean_last_2")}
    for _, one in episodes.groupby("seed"):
        by_seed["last"].append(one[one["update"] == 30]["return"].mean())
        curve = [one[(one["update"] == u) & (one["episode"] < 3)]["return"].mean() for u in (10, 20, 30)]
        by_seed["best"].append(max(curve))
        by_seed["mean_last_2"].append(np.mean(curve[-2:]))
    assert set(board.index) == set(by_seed)
    for selection, values in by_seed.items():
        row, x = board.loc[selection], np.array(values)
        half = stats.t.ppf(0.975, 2) * x.std(ddof=1) / np.sqrt(3)
        np.testing.assert_allclose(row["return_mean"], x.mean(), rtol=1e-5)
        np.testing.assert_allclose(row["return_std"], x.std(ddof=1), rtol=1e-5)
        np.testing.assert_allclose(row["score_mean"], 100 * (x.mean() - 10) / 50, rtol=1e-5)
        np.testing.assert_allclose(row["score_std"], 100 * x.std(ddof=1) / 50, rtol=1e-5)  # scaled by the range, not shifted
        np.testing.assert_allclose(row["score_ci_high"] - row["score_mean"], 2 * half, rtol=1e-4)
        np.testing.assert_allclose(row["score_mean"] - row["score_ci_low"], 2 * half, rtol=1e-4)
    assert board.loc["last", "eval_episodes"] == 5
    assert board.loc["best", "eval_episodes"] == 3
    assert board.loc["last", "seeds"] == "0 1 2"

    scores = pd.read_csv(suite / "scores.csv")
    assert list(scores.columns) == SCORE_COLUMNS
    assert len(scores) == len(episodes)
    np.testing.assert_allclose(scores["score"], 2 * (episodes["return"] - 10), rtol=1e-4, atol=1e-3)


def test_the_table(tmp_path: Path) -> None:
    suite = tmp_path / "toy"
    for algo in ("zeta", "iw_sft_q", "bc"):
        for dataset in ("a/b-v0", "a/c-v0"):
            write_run(suite, algo, [0, 1, 2], dataset)
    table = rebuild(suite)
    board = pd.read_csv(suite / "leaderboard.csv")
    assert table == (suite / "table.md").read_text()
    assert "| data set | bc | iw_sft_q | zeta |" in table
    row = board[(board["algo"] == "bc") & (board["dataset"] == "a/c-v0") & (board["selection"] == "last")].iloc[0]
    assert f"| a/c-v0 | {row['score_mean']:.1f} +- {row['score_ci_high'] - row['score_mean']:.1f} |" in table
    mean = board[(board["algo"] == "zeta") & (board["selection"] == "last")]["score_mean"].mean()
    (line,) = (line for line in table.splitlines() if line.startswith("| **mean** |"))
    assert line.endswith(f"| {mean:.1f} |")
    assert "last iterate, 5 episodes a seed" in table


def test_one_seed_and_no_reference(tmp_path: Path) -> None:
    suite = tmp_path / "toy"
    write_run(suite, "bc", [0], reference=None)
    table = rebuild(suite)
    row = pd.read_csv(suite / "leaderboard.csv").iloc[0]
    assert np.isnan(row["score_mean"])
    assert np.isnan(row["return_std"])
    assert row["reference"] == "none"
    assert "a/b-v0 (raw return)" in table
    assert "nan" not in table


def test_a_missing_run_leaves_a_gap_and_no_mean(tmp_path: Path) -> None:
    suite = tmp_path / "toy"
    write_run(suite, "bc", [0, 1], "a/b-v0")
    write_run(suite, "bc", [0, 1], "a/c-v0")
    write_run(suite, "sft", [0, 1], "a/c-v0")
    table = rebuild(suite)
    rows = [line for line in table.splitlines() if line.startswith("|")]
    assert "mean" not in rows[-1]
    assert rows[-2].endswith("|  |")


def test_rebuilding_changes_nothing(tmp_path: Path, capsys: pytest.CaptureFixture, monkeypatch: pytest.MonkeyPatch) -> None:
    suite = tmp_path / "toy"
    write_run(suite, "bc", [0, 1])
    table = rebuild(suite)
    before = {p.name: p.read_bytes() for p in suite.glob("*.*")}
    monkeypatch.setattr("bench.report.costs.costs", lambda suite: "")
    monkeypatch.setattr("bench.report.page.build.write_report", lambda suite, options: None)
    assert cli.run(["tables", str(suite)]) == 0
    assert capsys.readouterr().out == table
    assert {name: (suite / name).read_bytes() for name in before} == before


def test_no_run_at_all(tmp_path: Path, capsys: pytest.CaptureFixture) -> None:
    with pytest.raises(RunError, match="no finished run"):
        rebuild(tmp_path)
    assert cli.run(["tables", str(tmp_path)]) == 2
    assert capsys.readouterr().err.startswith("error: ")


def test_the_interval_covers() -> None:
    """95 % intervals of 3 seeds cover the truth in 93 to 97 of 100 cases."""
    draws = np.random.default_rng(1).normal(5, 2, (4000, 3))
    covered = np.mean([s.low <= 5 <= s.high for s in map(summarise, draws)])
    assert 0.93 < covered < 0.97
