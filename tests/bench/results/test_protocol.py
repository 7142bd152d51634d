"""Numbers of different protocols share no table."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from bench.errors import RunError
from bench.results.protocol import Measured, TableOptions, comparable_groups, measured_runs, refuse_mixed
from bench.results.runs import suite_runs
from tests.helpers.suites import make_run

SAME = Measured("bc", "a/x-v0", "last", "iwsft", 4, 1, "d1")


@pytest.mark.parametrize(
    ("other", "message"),
    [
        ({"reference": "d4rl"}, r"reference sets differ, d4rl \(sft\) and iwsft \(bc\)"),
        ({"episodes": 8}, r"last: numbers of episodes differ, 4 \(bc\) and 8 \(sft\)"),
        ({"digest": "d2"}, r"a/x-v0: data under one name differ, d1 \(bc\) and d2 \(sft\)"),
    ],
)
def test_differences_are_named_with_their_methods(other: dict[str, Any], message: str) -> None:
    with pytest.raises(RunError, match=rf"^here: {message}\. .*: do this$"):
        refuse_mixed("here", [SAME, SAME._replace(algo="sft", **other)], "do this")


def test_the_best_of_different_numbers_of_evaluations_is_refused_on_one_data_set() -> None:
    best = SAME._replace(selection="best")
    refuse_mixed("here", [best, best._replace(dataset="a/y-v0", evaluations=9)], "")
    refuse_mixed("here", [SAME, SAME._replace(evaluations=9)], "")  # the last iterate is not chosen
    with pytest.raises(RunError, match=r"a/x-v0, best: numbers of evaluations to choose from differ, 1 \(bc\) and 9 \(bc\)"):
        refuse_mixed("here", [best, best._replace(evaluations=9)], "")


def test_numbers_without_reference_and_unknown_values_agree_with_all() -> None:
    refuse_mixed("here", [SAME, SAME._replace(reference="none"), SAME._replace(episodes=float("nan"), digest="")], "")


def test_every_difference_is_in_the_one_line() -> None:
    with pytest.raises(RunError) as error:
        refuse_mixed("here", [SAME, SAME._replace(reference="d4rl", episodes=8)], "")
    assert "reference sets" in str(error.value)
    assert "numbers of episodes" in str(error.value)
    assert "\n" not in str(error.value)


def test_comparable_groups(tmp_path: Path) -> None:
    make_run(tmp_path, "bc")
    make_run(tmp_path, "sft", final_episodes=6)
    make_run(tmp_path, "bc", "D4RL/kitchen/mixed-v2", reference={"name": "d4rl", "random": 0.0, "expert": 4.0})
    make_run(tmp_path, "sft", "own/x-v0", reference=None, final_episodes=6)
    records = [record for record, _ in suite_runs(tmp_path)]
    groups = [[(r["algo"], r["dataset"].split("/")[0]) for r in group] for group in comparable_groups(records)]
    assert sorted(map(sorted, groups)) == [[("bc", "D4RL")], [("bc", "iwsft")], [("sft", "iwsft"), ("sft", "own")]]
    with pytest.raises(RunError, match=r"d4rl \(bc\) and iwsft \(bc, sft\); last: numbers of episodes differ, 4 \(bc\) and 6 \(sft\)"):
        refuse_mixed("here", measured_runs(records), "")


def test_runs_turn_options_on() -> None:
    records = [{"mixed": True, "published": False}, {}]
    assert TableOptions().of_runs(records) == TableOptions(mixed=True)
    assert TableOptions(published=True, root=Path("x")).of_runs([{}]) == TableOptions(published=True, root=Path("x"))
