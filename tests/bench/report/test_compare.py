"""Comparison of two runs or suites."""

from __future__ import annotations

from pathlib import Path

import pytest

from bench.errors import RunError
from bench.report.compare import compare, compare_methods
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


def test_methods_of_one_suite_against_each_other(tmp_path: Path) -> None:
    suite = make_suite(tmp_path)  # later methods are better
    text = compare_methods(suite, ["bc", "sft", "iw_sft"])
    assert [line for line in text.splitlines() if line.startswith("## ")] == [
        "## bc against sft", "## bc against iw_sft", "## sft against iw_sft",
    ]  # fmt: skip
    overview = [line.strip("| ").split(" | ") for line in text.split("##")[0].splitlines() if line.startswith("|")]
    assert [row[:2] for row in overview[2:]] == [["bc", "sft"], ["bc", "iw_sft"], ["sft", "iw_sft"]]
    assert all(float(row[2]) > 15 and row[-1] == "B is better" and row[-2] == "2" for row in overview[2:])
    assert text.count("mean over 2 data sets") == 3


def test_methods_of_one_suite_against_the_best(tmp_path: Path) -> None:
    text = compare_methods(make_suite(tmp_path))
    assert [line for line in text.splitlines() if line.startswith("## ")] == ["## bc against iw_sft", "## sft against iw_sft"]
    with pytest.raises(RunError, match="--methods iql: no such method; expected one of bc, sft, iw_sft"):
        compare_methods(tmp_path, ["iql"])
    with pytest.raises(RunError, match="no two methods with a data set in common; it has bc, sft, iw_sft"):
        compare_methods(tmp_path, ["bc"])


def test_settings_of_one_method_against_each_other(tmp_path: Path) -> None:
    for temperature, level in ((1.0, 300.0), (3.0, 400.0)):
        make_run(tmp_path, "iw_sft", temperature=temperature, level=level)
    text = compare_methods(tmp_path, ["iw_sft"])
    assert "## iw_sft temperature=1.0 against iw_sft temperature=3.0" in text
    assert "| algo.weighting.temperature | 1.0 | 3.0 |" in text


def test_a_score_is_never_compared_with_a_return(tmp_path: Path) -> None:
    """Raw returns, with digits below 10, compare two runs of which one has no reference scores."""
    shrink = {"change": lambda rows: [r | {"return": r["return"] / 1000} for r in rows]}
    a, b = make_run(tmp_path / "s", "bc", **shrink), make_run(tmp_path / "s", "sft", level=400.0, reference=None, **shrink)
    row = next(line for line in compare(a, b).splitlines() if line.startswith("| iwsft"))
    assert row.startswith("| iwsft/hopper/medium-v0 (raw return) | 0.3")
    assert "| +0.09" in row or "| +0.10" in row
    (same,) = [line for line in compare_methods(tmp_path / "s").splitlines() if line.startswith("| iwsft")]
    assert same == row
