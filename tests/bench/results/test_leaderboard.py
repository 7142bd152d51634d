"""Leaderboard: rows against a plain computation, checks on reading, merging."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from scipy import stats

from bench.errors import RunError
from bench.results.leaderboard import COLUMNS, SCHEMA, SCORE_COLUMNS, board_csv, board_of, read_board, scores_csv
from bench.results.merging import labelled_board, merge
from bench.results.runs import suite_runs
from tests.helpers.suites import REFERENCE, make_run, make_suite

Rows = list[dict[str, Any]]


def board(suite: Path, root: Path | None = None) -> pd.DataFrame:
    return board_of(suite, suite_runs(suite), root)


def write(path: Path, rows: pd.DataFrame) -> Path:
    rows.to_csv(path, index=False)
    return path


@pytest.fixture
def path(tmp_path: Path) -> Path:
    """A leaderboard of two data sets and three methods: 18 rows."""
    return write(tmp_path / "board.csv", board(make_suite(tmp_path / "suite")))


def test_rows_equal_a_plain_computation(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    updates = {10: 3, 20: 3, 30: 5}  # episodes by update
    rows = [
        {"update": u, "seed": s, "episode": e, "return": float(rng.normal(30, 5)), "length": 7}
        for u, count in updates.items() for s in range(3) for e in range(count)
    ]  # fmt: skip
    reference = REFERENCE | {"random": 10.0, "expert": 60.0}
    record = {"updates": 30, "eval_every": 10, "eval_episodes": 3, "final_episodes": 5, "last_k": 2, "reference": reference}
    made = {"stepper": "threads", "engine": "compiled", "precision": "float32"}
    make_run(tmp_path, change=lambda _: rows, **record, **made)
    make_run(tmp_path, "sft", status="running")
    found = board(tmp_path)
    assert list(found.columns) == COLUMNS
    assert set(found["algo"]) == {"bc"}

    by_seed: dict[str, list[float]] = {"last": [], "best": [], "mean_last_2": []}
    episodes = pd.DataFrame(rows)
    for _, one in episodes.groupby("seed"):
        by_seed["last"].append(one[one["update"] == 30]["return"].mean())
        curve = [one[(one["update"] == u) & (one["episode"] < 3)]["return"].mean() for u in updates]
        by_seed["best"].append(max(curve))
        by_seed["mean_last_2"].append(float(np.mean(curve[-2:])))
    found = found.set_index("selection")
    assert set(found.index) == set(by_seed)
    for selection, values in by_seed.items():
        row, x = found.loc[selection], np.array(values)
        half = stats.t.ppf(0.975, 2) * x.std(ddof=1) / np.sqrt(3)
        np.testing.assert_allclose(row["return_mean"], x.mean())
        np.testing.assert_allclose(row["return_std"], x.std(ddof=1))
        np.testing.assert_allclose(row["score_mean"], 100 * (x.mean() - 10) / 50)
        np.testing.assert_allclose(row["score_std"], 100 * x.std(ddof=1) / 50)  # scaled by the range, not shifted
        np.testing.assert_allclose(row["score_ci_high"] - row["score_mean"], 2 * half)
        np.testing.assert_allclose(row["score_mean"] - row["score_ci_low"], 2 * half)
    assert found.loc["last", ["eval_episodes", "evaluations"]].tolist() == [5, 1]
    assert found.loc["best", ["eval_episodes", "evaluations"]].tolist() == [3, 3]
    assert found.loc["last", "seeds"] == "0 1 2"
    assert found.loc["last", list(made)].to_dict() == made

    (tmp_path / "scores.csv").write_text(scores_csv(suite_runs(tmp_path)))
    scores = pd.read_csv(tmp_path / "scores.csv")
    assert list(scores.columns) == SCORE_COLUMNS
    assert len(scores) == len(episodes)
    np.testing.assert_allclose(scores["score"], 2 * (episodes["return"] - 10), rtol=1e-4, atol=1e-3)


def test_one_seed_without_reference_scores(tmp_path: Path) -> None:
    make_run(tmp_path, seeds=[0], reference=None)
    row = board(tmp_path).iloc[0]
    assert np.isnan(row["score_mean"])
    assert np.isnan(row["return_std"])
    assert row["reference"] == "none"


def test_rows_hold_iqm_configurations_and_source(tmp_path: Path) -> None:
    for temperature in (1.0, 3.0):
        make_run(tmp_path, "iw_sft", seeds=range(8), temperature=temperature)
    make_run(tmp_path, "iw_sft", seeds=[9], status="running")
    make_run(tmp_path, "bc")
    rows = board(tmp_path)
    assert set(rows["schema"]) == {SCHEMA}
    assert set(rows["source"]) == {"ours"}
    assert rows.groupby("algo")["configs_tried"].unique().map(list).to_dict() == {"bc": [1], "iw_sft": [3]}
    row = rows[(rows["algo"] == "iw_sft") & (rows["selection"] == "last")].iloc[0]
    assert row["score_iqm"] == pytest.approx(37, abs=0.5)  # of eight seeds at 30, 32, ... 44 the middle four
    assert row["score_mean"] == pytest.approx(37, abs=0.5)


def test_iqm_leaves_out_an_outlier(tmp_path: Path) -> None:
    make_run(tmp_path, seeds=range(4), change=lambda rows: [r | {"return": 1e6} if r["seed"] == 0 else r for r in rows])
    row = board(tmp_path).query("selection == 'last'").iloc[0]
    assert row["score_iqm"] < 50 < row["score_mean"]


def test_failures_count_as_score_0(tmp_path: Path) -> None:
    make_run(tmp_path, change=lambda rows: [r | {"return": math.nan} if r["seed"] == 0 and r["update"] == 200 else r for r in rows])
    mean = board(tmp_path).query("selection == 'last'")["score_mean"].item()
    assert mean == pytest.approx((0 + 32 + 34) / 3, abs=0.5)
    (tmp_path / "scores.csv").write_text(scores_csv(suite_runs(tmp_path)))
    raw = pd.read_csv(tmp_path / "scores.csv").query("seed == 0 and update == 200")
    assert raw["return"].isna().all()
    assert (raw["score"] == 0).all()


def test_failures_without_references_leave_no_number(tmp_path: Path) -> None:
    make_run(
        tmp_path, reference=None, change=lambda rows: [rows[0], *(r | {"return": math.nan} if r["seed"] == 1 else r for r in rows[1:])]
    )
    assert np.isnan(board(tmp_path).query("selection == 'last'")["return_mean"]).all()


def test_configurations_in_the_suites_beside_it_count(tmp_path: Path) -> None:
    """Suites further away count if a root is given; seeds are no configuration."""
    make_run(tmp_path / "results" / "final", "iw_sft", temperature=3.0)
    make_run(tmp_path / "results" / "tune", "iw_sft", temperature=3.0, seeds=[7])  # the same configuration once more
    for temperature in (1.0, 5.0):
        make_run(tmp_path / "results" / "tune", "iw_sft", temperature=temperature)
    make_run(tmp_path / "results" / "tune", "iw_sft", "iwsft/walker2d/medium-v0", temperature=7.0)
    make_run(tmp_path / "far" / "tune", "iw_sft", temperature=9.0)
    final = tmp_path / "results" / "final"
    for root, expected in ((None, 3), (tmp_path, 4)):
        assert set(board(final, root)["configs_tried"]) == {expected}
    with pytest.raises(RunError, match="no such folder; expected one that holds suites"):
        board(final, tmp_path / "nowhere")


def test_configurations_that_left_no_run_are_counted_by_hand(tmp_path: Path) -> None:
    """The larger number holds: a hand cannot lower the count."""
    for temperature in (1.0, 3.0):
        make_run(tmp_path, "iw_sft", temperature=temperature, configs_tried=1)
    make_run(tmp_path, "sft", configs_tried=5)
    assert board(tmp_path).groupby("algo")["configs_tried"].unique().map(list).to_dict() == {"iw_sft": [2], "sft": [5]}


def test_returns_have_an_interval_without_references(tmp_path: Path) -> None:
    make_run(tmp_path, reference=None)
    row = board(tmp_path).query("selection == 'last'").iloc[0]
    half = stats.t.ppf(0.975, 2) * row["return_std"] / 3**0.5
    assert (row["return_ci_low"], row["return_ci_high"]) == pytest.approx((row["return_mean"] - half, row["return_mean"] + half))


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda b: b.assign(actions="wild"), "line 2: actions = wild: expected mean or sampled"),
        (lambda b: b.assign(chosen_by="luck"), "line 2: chosen_by = luck: expected environment, fqe, "),
        (lambda b: b.assign(schema=SCHEMA + 1), f"schema {SCHEMA + 1} is newer than this program's {SCHEMA}"),
        (lambda b: b.drop(columns="schema"), "no column 'schema'"),
        (lambda b: b.assign(schema=SCHEMA - 1), f"line 2: expected schema {SCHEMA}; rebuild it"),
        (lambda b: b.drop(columns="score_iqm"), "no column score_iqm"),
        (lambda b: pd.concat([b, b[:1]]), "line 20: repeats "),
        (lambda b: b.astype({"score_mean": str}).assign(score_mean=["much", *["1"] * 17]), "line 2: score_mean = much"),
        (lambda b: b.assign(source="heard"), "line 2: source = heard"),
        (lambda b: b.assign(source="published"), "needs a citation"),
    ],
)
def test_a_board_is_checked_on_read(path: Path, change: Any, message: str) -> None:
    write(path, change(read_board(path)))
    with pytest.raises(RunError, match=message):
        read_board(path)


def test_a_board_is_read_as_it_was_written(tmp_path: Path) -> None:
    rows = board(make_suite(tmp_path / "suite"))
    (tmp_path / "board.csv").write_text(board_csv(rows))
    pd.testing.assert_frame_equal(read_board(tmp_path / "board.csv"), rows, check_dtype=False, rtol=1e-5)


def test_selections_over_evaluations_are_marked(tmp_path: Path) -> None:
    make_run(tmp_path)
    found = board(tmp_path).set_index("selection")["verifiable"].to_dict()
    assert found == {"last": "yes", "best": "not verifiable", "mean_last_2": "not verifiable"}


INFINITE = [(column, math.inf) for column in ("score_mean", "return_std", "score_iqm", "wall_time_s", "return_ci_low", "updates")]


@pytest.mark.parametrize(
    ("column", "value", "message"),
    [
        *((column, value, f"{column} = inf: expected a finite number") for column, value in INFINITE),
        ("score_mean", 99.0, "score_mean = 99 is not in its interval"),
        ("return_mean", -5.0, "return_mean = -5 is not in its interval"),
        ("score_mean", math.nan, "score_mean = nan is not in its interval"),
        ("score_std", -1.0, "score_std is negative"),
        ("evaluations", math.nan, "evaluations = nan: expected a whole number"),
        ("seeds", "0 1 =1+1", "seeds = 0 1 =1.1: expected seeds separated by blanks"),
    ],
)
def test_numbers_that_no_run_has_are_refused(path: Path, column: str, value: Any, message: str) -> None:
    rows = read_board(path)
    rows[column] = [value, *rows[column][1:]]
    write(path, rows)
    with pytest.raises(RunError, match=f"line 2: {message}") as error:
        read_board(path)
    assert "\n" not in str(error.value)


def test_rows_are_ours_if_the_runs_beside_the_file_give_them(tmp_path: Path) -> None:
    suite = make_suite(tmp_path / "suite", ["bc"])
    mine = tmp_path / "suite" / "leaderboard.csv"
    mine.write_text(board_csv(board(suite)))
    assert set(labelled_board(mine)["source"]) == {"ours"}
    (tmp_path / "theirs.csv").write_text(mine.read_text())  # the same numbers, without their runs
    alone = labelled_board(tmp_path / "theirs.csv")
    assert (set(alone["source"]), set(alone["verifiable"])) == ({"submitted"}, {"not verifiable"})
    write(tmp_path / "typed.csv", read_board(mine).assign(source="submitted", verifiable="yes"))
    assert set(labelled_board(tmp_path / "typed.csv")["verifiable"]) == {"not verifiable"}
    for order in ([mine, tmp_path / "theirs.csv"], [tmp_path / "theirs.csv", mine]):
        merged = merge(order)
        assert len(merged) == 6
        assert set(merged["source"]) == {"ours"}
    typed = read_board(mine).assign(config_hash="0" * 12, algo="best_ever")
    write(mine, pd.concat([read_board(mine), typed]))  # rows without a run among those with one
    assert labelled_board(mine).groupby("algo")["source"].unique().map(list).to_dict() == {"bc": ["ours"], "best_ever": ["submitted"]}


def test_numbers_that_differ_from_the_runs_beside_them_are_refused(tmp_path: Path) -> None:
    path = make_suite(tmp_path / "suite", ["bc"]) / "leaderboard.csv"
    rows = board(path.parent)
    write(path, rows.assign(score_mean=rows["score_mean"] + 0.5))
    with pytest.raises(RunError, match=r"line 2: score_mean = .*, but its run in .* gives .*; rebuild it with python -m bench tables"):
        labelled_board(path)


def test_merge_keeps_equal_rows_once_and_refuses_two_results_of_one_run(path: Path, tmp_path: Path) -> None:
    rows = read_board(path)
    assert len(merge([path, write(tmp_path / "part.csv", rows[:3])])) == len(rows)
    with pytest.raises(RunError, match="has different values"):
        merge([path, write(tmp_path / "other.csv", rows.assign(score_iqm=1.0))])
    longer = write(tmp_path / "longer.csv", rows.assign(eval_episodes=7, config_hash="other"))
    with pytest.raises(RunError, match=r"numbers of episodes differ.*--mixed"):
        merge([path, longer])
    assert len(merge([path, longer], mixed=True)) == 2 * len(rows)


def test_merge_refuses_the_best_of_different_numbers_of_evaluations(path: Path, tmp_path: Path) -> None:
    rows = read_board(path)
    assert rows.groupby("selection")["evaluations"].unique().map(list).to_dict() == {"best": [2], "last": [1], "mean_last_2": [2]}
    more = rows.assign(config_hash="other", evaluations=rows["evaluations"].where(rows["selection"] != "best", 9))
    paths = [path, write(tmp_path / "more.csv", more)]
    with pytest.raises(RunError, match=r"hopper/medium-v0, best: numbers of evaluations .* 2 \(.* 9 \(.*--selection last.*--mixed"):
        merge(paths)
    assert set(merge(paths, selection="last")["selection"]) == {"last"}


def test_merge_refuses_published_rows_beside_ours_or_leaves_them_out(path: Path, tmp_path: Path) -> None:
    paper = read_board(path)[:1].assign(source="published", citation="Someone 2025", config_hash="", reference="theirs", dataset_digest="")
    paths = [path, write(tmp_path / "paper.csv", paper)]
    with pytest.raises(RunError, match=r"reference sets differ, iwsft .* and theirs .*--source ours"):
        merge(paths)
    assert len(merge(paths, source="submitted")) == 18
    assert len(merge(paths, source="ours")) == 0
    assert len(merge(paths, mixed=True)) == 19
