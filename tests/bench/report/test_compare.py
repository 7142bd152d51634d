"""Comparison of two runs or suites."""

from __future__ import annotations

from pathlib import Path

import pytest

from bench.errors import RunError
from bench.report.compare import compare
from tests.helpers.suites import make_run, make_suite


def test_two_runs_of_two_methods(tmp_path: Path) -> None:
    a, b = make_run(tmp_path / "s", "bc", level=300.0), make_run(tmp_path / "s", "sft", level=400.0)
    text = compare(a, b)
    row = next(line for line in text.splitlines() if line.startswith("| iwsft/hopper"))
    assert "bc against sft" in text
    assert "B is better" in row
    assert " +10" in row or " +9" in row
    assert "| algo.name | bc | sft |" in text
    assert "B is worse" in compare(b, a)


def test_a_run_against_itself(tmp_path: Path) -> None:
    run = make_run(tmp_path / "s")
    text = compare(run, run)
    assert "| equal |" in text
    assert "Settings: no difference" in text


def test_suites_are_compared_method_by_method_and_overall(tmp_path: Path) -> None:
    text = compare(make_suite(tmp_path / "a"), make_suite(tmp_path / "b"))
    assert text.count("## ") == 3
    assert text.count("mean over 2 data sets") == 3


def test_settings_that_differ_are_named(tmp_path: Path) -> None:
    a, b = (make_run(tmp_path / n, "iw_sft", temperature=t, level=x) for n, t, x in (("a", 1.0, 300.0), ("b", 3.0, 301.0)))
    text = compare(a, b)
    assert "| algo.weighting.temperature | 1.0 | 3.0 |" in text


def test_a_small_difference_is_not_significant(tmp_path: Path) -> None:
    rng_shift = [0.5, -0.4, 0.2]

    def shift(rows: list[dict]) -> list[dict]:
        return [r | {"return": r["return"] + 30 * rng_shift[r["seed"]]} for r in rows]

    a, b = make_run(tmp_path / "a"), make_run(tmp_path / "b", change=shift)
    assert "no significant difference" in compare(a, b)


def test_one_seed_is_not_testable(tmp_path: Path) -> None:
    a, b = make_run(tmp_path / "a", seeds=[0]), make_run(tmp_path / "b", "sft", seeds=[0], level=900.0)
    assert "fewer than two paired seeds" in compare(a, b)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"reference": {"name": "d4rl", "random": 0.0, "expert": 1.0}}, r"reference sets differ, d4rl \(bc\) and iwsft \(bc\)"),
        ({"final_episodes": 8}, r"numbers of episodes differ, 4 \(bc\) and 8 \(bc\)"),
        ({"dataset_digest": "other"}, "data under one name differ"),
        ({"status": "running"}, "is not finished"),
    ],
)
def test_different_protocols_are_refused(tmp_path: Path, changes: dict, message: str) -> None:
    a, b = make_run(tmp_path / "a"), make_run(tmp_path / "b", **changes)
    with pytest.raises(RunError, match=message):
        compare(a, b)
    if "status" not in changes:
        assert "## bc" in compare(a, b, mixed=True)


def test_runs_without_a_common_data_set_are_refused(tmp_path: Path) -> None:
    a, b = make_run(tmp_path / "a"), make_run(tmp_path / "b", dataset="iwsft/ant/medium-v0")
    with pytest.raises(RunError, match=r"in common: bc on iwsft/hopper/medium-v0; bc on iwsft/ant/medium-v0$"):
        compare(a, b)
    with pytest.raises(RunError, match="neither a run directory"):
        compare(a, tmp_path / "nowhere")
