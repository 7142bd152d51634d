"""The test for a learning curve that has levelled off, on constructed curves, and its error rates by simulation."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from bench.errors import RunError
from bench.results.grid import Grid, grids
from bench.results.leaderboard import board_csv, board_of, read_board
from bench.results.levelling import FEW_UPDATES, RISES, Rise, has_few_updates, levelled_off, rise_of, training_marks
from bench.results.pooling import pooled
from bench.results.runs import suite_runs
from tests.helpers.suites import REFERENCE, make_run

Curve = Callable[[float], float]
"""Score by share of the updates."""


def run(scores: np.ndarray, every: int = 10, **record: Any) -> tuple[dict[str, Any], pd.DataFrame]:
    """A record and its episodes, one an evaluation, from scores [evaluations, seeds]."""
    rows = [
        {"update": every * (k + 1), "seed": seed, "episode": 0, "return": 10 * score, "length": 1}
        for k, own in enumerate(scores)
        for seed, score in enumerate(own)
    ]
    about = {"updates": every * len(scores), "final_episodes": 1, "eval_episodes": 1, "reference": REFERENCE}
    return about | record, pd.DataFrame(rows)


def curve(shape: Curve, seeds: int = 4, evaluations: int = 12, noise: float = 0.5) -> np.ndarray:
    """Scores [evaluations, seeds] about `shape`, each seed a little higher than the last."""
    shares = np.arange(1, evaluations + 1) / evaluations
    base = np.array([shape(share) for share in shares])[:, None] + np.arange(seeds)
    return base + np.random.default_rng(0).normal(0, noise, base.shape)


@pytest.mark.parametrize(
    ("scores", "expected"),
    [
        (curve(lambda s: 40.0), True),
        (curve(lambda s: 40 * s), False),
        (curve(lambda s: 60 - 40 * s), True),  # a falling curve: more updates would not help
        (curve(lambda s: min(40.0, 80 * s)), True),  # rises until half of the updates
        (curve(lambda s: 40.0, noise=20.0), None),  # too noisy to tell
        (curve(lambda s: 80.0 + 2 * s, noise=0.0), True),  # rises by 0.5 of 82: less than counts
        (curve(lambda s: 40 * s, seeds=1), None),
        (curve(lambda s: 40.0, seeds=1), None),
        (curve(lambda s: 40.0, evaluations=6), None),  # a quarter with one evaluation
        (curve(lambda s: 40.0, evaluations=8), True),
        (curve(lambda s: np.nan), None),
    ],
    ids=["flat", "rising", "falling", "levelled", "noisy", "slow", "one seed rising", "one seed", "short", "long enough", "nan"],
)
def test_constructed_curves(scores: np.ndarray, expected: bool | None) -> None:
    assert levelled_off(*run(scores)) is expected


def test_the_curve_that_a_plain_test_would_call_level_with_two_seeds() -> None:
    """Rising scores of two seeds: no evidence at level 0.05, and so not judged instead of levelled off."""
    scores = np.array([19.8, 22.0, 25.7, 23.6, 30.7, 33.0, 37.3, 40.6])[:, None] + np.array([-2.0, 2.0])
    scores[-2:, 1] += 4
    assert rise_of(*run(scores)).mean > 5
    assert levelled_off(*run(scores)) is None


def test_a_seed_with_a_failed_episode_in_the_second_half_is_left_out() -> None:
    scores = curve(lambda s: 40 * s)
    scores[-1, 0] = np.nan
    assert levelled_off(*run(scores)) is False
    assert rise_of(*run(scores)).mean == pytest.approx(rise_of(*run(scores[:, 1:])).mean)
    scores[-1, :3] = np.nan
    assert levelled_off(*run(scores)) is None
    scores = curve(lambda s: 40 * s)
    scores[0] = np.nan  # in the first half: no matter
    assert levelled_off(*run(scores)) is False


def test_quarters_are_of_the_updates_and_their_means_are_paired_by_seed() -> None:
    """Evaluations at 500, 1000, ... of 4,500 updates: 2,500 and 3,000 against 3,500 to 4,500."""
    scores = np.zeros((9, 2))
    scores[4:6], scores[6:] = (10.0, 30.0), (12.0, 36.0)
    found = rise_of(*run(scores, every=500))
    assert found.mean == pytest.approx(4.0)
    assert found.high - found.mean == pytest.approx(6.3138 * 2, rel=1e-4)  # t(0.95, 1) times the standard error of 2 and 6
    assert found.tolerance == pytest.approx(0.05 * 24)


def test_raw_returns_have_a_relative_tolerance_alone_and_a_run_without_episodes_is_not_judged() -> None:
    found = rise_of(*run(curve(lambda s: 40.0, noise=0.0), reference=None))
    assert found.tolerance == pytest.approx(0.05 * 415.0)
    record, episodes = run(curve(lambda s: 40 * s), final_episodes=0, default_updates=10**6)
    assert levelled_off(record, episodes.iloc[:0]) is None
    assert training_marks(record, episodes.iloc[:0]) == ()


@pytest.mark.parametrize(
    ("record", "expected"),
    [
        ({}, False),
        ({"default_updates": None}, False),
        ({"default_updates": 120}, False),
        ({"default_updates": 121}, True),
        ({"default_updates": 100}, False),  # more than the paper's
        ({"default_updates": 120, "default_pi_ref_updates": 10_000, "pi_ref_updates": 3000}, True),
        ({"default_updates": 120, "default_pi_ref_updates": None, "pi_ref_updates": 3000}, False),
    ],
)
def test_few_updates(record: dict[str, Any], expected: bool) -> None:
    found, episodes = run(curve(lambda s: 40.0), **record)
    assert has_few_updates(found) is expected
    assert training_marks(found, episodes) == (FEW_UPDATES,) * expected


def rates(seeds: int, noise: float, rise: float, evaluations: int = 3, times: int = 4000) -> tuple[float, float]:
    """Shares of "rises" and "levelled off" for curves about 40 that rise by `rise` in a quarter."""
    rng = np.random.default_rng(1)
    quarters = rng.normal(0, noise, (2, times, seeds, evaluations)).mean(-1)
    gain = rise + quarters[1] - quarters[0]
    half = {2: 6.3138, 4: 2.3534, 10: 1.8331}[seeds] * gain.std(-1, ddof=1) / np.sqrt(seeds)
    found = [Rise(m, m - h, m + h, 2.0).levelled_off for m, h in zip(gain.mean(-1), half, strict=True)]
    return found.count(False) / times, found.count(True) / times


@pytest.mark.parametrize("seeds", [2, 4, 10])
def test_error_rates_are_those_of_the_documentation(seeds: int) -> None:
    """A flat curve is said to rise, and one that gains the tolerance is said to be level, in about 5 of 100 cases at most."""
    for noise in (1.0, 3.0):
        assert rates(seeds, noise, 0.0)[0] < 0.06
        assert rates(seeds, noise, 2.0)[1] < 0.065
    assert rates(4, 1.0, 4.0)[0] > 0.95
    assert rates(10, 3.0, 4.0)[0] > 0.9


def suite_of(folder: Path, rising: tuple[str, ...] = (), few: tuple[str, ...] = (), mix: bool = False) -> Grid:
    """A grid of two data sets by three methods, of which some rise on Hopper and some had few updates on both."""
    for k, algo in enumerate(("bc", "sft", "iql")):
        for dataset in ("iwsft/hopper/medium-v0", "iwsft/walker2d/medium-v0"):

            def change(
                rows: list[dict[str, Any]], rises: bool = algo in rising and "hopper" in dataset, k: int = k
            ) -> list[dict[str, Any]]:
                return [r | {"return": 500.0 + 50 * k + r["seed"] + rises * r["update"]} for r in rows]

            own = {"default_updates": 1000} if algo in few else {}
            make_run(folder, algo, dataset, change=change, eval_every=10, **own)
    return grids(suite_runs(folder), mix_marked=mix)[0]


def test_averages_and_bold_are_kept_apart(tmp_path: Path) -> None:
    grid = suite_of(tmp_path, rising=("sft",), few=("iql",))
    assert grid.training_marks_of("sft") == [RISES]
    assert grid.averaged(grid.datasets) == ["bc", "iql"]  # sft has one marked row and one unmarked
    assert grid.marks(grid.datasets) == {"bc": "best"}
    assert grid.marks(["iwsft/walker2d/medium-v0"]) == {"bc": "", "sft": "best"}
    assert grid.marks(["iwsft/hopper/medium-v0"]) == {"bc": "best"}
    assert grid.ranked() == ["bc", "iql", "sft"] or grid.ranked() == ["bc", "sft", "iql"]
    assert grid.label("iql", grid.datasets) == "iql †"
    mixed = grids(suite_runs(tmp_path), mix_marked=True)[0]
    assert mixed.averaged(grid.datasets) == ["bc", "sft", "iql"]
    assert set(mixed.marks(["iwsft/walker2d/medium-v0"])) == {"bc", "sft", "iql"}
    assert mixed.ranked()[-1] == "bc"


def test_bold_is_among_marked_rows_if_all_are_marked(tmp_path: Path) -> None:
    grid = suite_of(tmp_path, few=("bc", "sft", "iql"))
    assert grid.averaged(grid.datasets) == ["bc", "sft", "iql"]
    assert grid.marks(grid.datasets)["iql"] == "best"


def test_the_leaderboard_says_true_false_or_nothing(tmp_path: Path) -> None:
    make_run(tmp_path, "bc", change=lambda rows: [r | {"return": 500.0 + r["seed"]} for r in rows], eval_every=10)
    make_run(tmp_path, "sft", change=lambda rows: [r | {"return": 3.0 * r["update"] + r["seed"]} for r in rows], eval_every=10)
    make_run(tmp_path, "iql")
    board = board_of(tmp_path, suite_runs(tmp_path))
    assert board.groupby("algo")["levelled_off"].unique().map(list).to_dict() == {"bc": ["true"], "sft": ["false"], "iql": [""]}
    path = tmp_path / "leaderboard.csv"
    path.write_text(board_csv(board))
    assert set(read_board(path)["levelled_off"]) == {"true", "false", ""}
    path.write_text(board_csv(board.assign(levelled_off="perhaps")))
    with pytest.raises(RunError, match="line 2: levelled_off = perhaps: expected true, false or nothing"):
        read_board(path)


def test_the_updates_of_pi_ref_come_from_the_checked_configuration(tmp_path: Path) -> None:
    """make_run's configuration has the paper's 10,000 updates of pi_ref."""
    make_run(tmp_path, "sft", default_pi_ref_updates=10_000)
    make_run(tmp_path, "iw_sft", default_pi_ref_updates=10_001)
    found = {record["algo"]: training_marks(record, episodes) for record, episodes in suite_runs(tmp_path)}
    assert found == {"sft": (), "iw_sft": (FEW_UPDATES,)}


def test_sampled_actions_of_the_last_evaluation_have_the_mark_of_the_same_policies(tmp_path: Path) -> None:
    """With eval.actions=both the curve is that of mean actions; seeds in portions are judged together."""

    def change(rows: list[dict[str, Any]]) -> list[dict[str, Any]]:
        return [r | {"return": 3.0 * r["update"] + r["seed"]} for r in rows]

    for seeds in ([0, 1], [2]):
        make_run(tmp_path, "bc", seeds=seeds, change=change, eval_every=10, actions="both")
    found = {record["actions"]: training_marks(record, episodes) for record, episodes in pooled(suite_runs(tmp_path))}
    assert found == {"mean": (RISES,), "sampled": (RISES,)}
    board = board_of(tmp_path, suite_runs(tmp_path))
    assert set(board["levelled_off"]) == {"false"}
