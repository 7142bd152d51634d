"""Claims: found where they hold, in the words that their intervals allow."""

from __future__ import annotations

import numpy as np
import pytest

from bench.studies.claims import Claim, judge, score_cell, scores_of, sizes

LOW, HIGH = np.arange(8.0), np.arange(8.0) + 20


@pytest.mark.parametrize(
    ("better", "worse", "equal", "finding"),
    [
        (HIGH, LOW, False, "holds"),
        (LOW, HIGH, False, "the opposite is seen"),
        (LOW, LOW, False, "no difference is seen"),
        (LOW, LOW, True, "no difference is seen"),
        (HIGH, LOW, True, "the first is better"),
        (LOW, HIGH, True, "the second is better"),
        (HIGH[:3], LOW[:3], False, "too few seeds to tell"),
    ],
)
def test_words_follow_the_interval(better: np.ndarray, worse: np.ndarray, equal: bool, finding: str) -> None:
    found = judge(Claim("sft", "bc", equal), {"a": {"sft": better, "bc": worse}})
    assert found is not None
    assert found.finding == finding
    assert found.cells[2] == finding


def test_the_difference_is_paired_and_over_the_named_data_sets() -> None:
    scores = {"a": {"sft": LOW + 1, "bc": LOW}, "b": {"sft": LOW + 3, "bc": LOW}, "c": {"bc": LOW}, "d": {"sft": LOW[:2], "bc": LOW}}
    found = judge(Claim("sft", "bc"), scores)
    assert found is not None
    assert (found.datasets, found.difference.difference) == (["a", "b"], 2.0)
    assert found.cells[1] == "+2.0 [+2.0, +2.0]"
    assert judge(Claim("sft", "bc"), scores, ["c"]) is None
    assert str(found.claim) == "SFT beats BC"


def test_scores_are_in_the_order_of_seeds_and_leave_out_what_was_not_measured() -> None:
    rows = [{"dataset": "a", "method": "bc", "seed": s, "score": float(s), "episodes": 5} for s in (2, 0, 1)]
    rows.append({"dataset": "a", "method": "sft", "seed": 0, "score": float("nan"), "episodes": 9})
    assert scores_of(rows)["a"]["bc"].tolist() == [0.0, 1.0, 2.0]
    assert list(scores_of(rows)["a"]) == ["bc"]
    assert scores_of(rows, "score_sampled") == {}
    found = "1 to 3 seeds, 5 to 9 final episodes a seed."
    assert sizes(rows, sorted({row["dataset"] for row in rows})) == found == sizes(rows, ["other", "sets"])
    some = sizes([row | {"of": "a"} for row in rows], ["a", "b", "c"], "of")
    assert some == f"1 of 3 data sets so far; {found} `--only DATASET` adds one, and keeps the others."
    assert score_cell(np.array([1.0, 1.0])) == "1.0 ± 0.0"
