"""A run says when its importance weights were saturated or had collapsed."""

from __future__ import annotations

from typing import Any

import pytest

from bench.training.weight_check import check_weights


def row(update: int, seed: int = 0, ess: float = 0.5, clipped: float = 0.0, trajectories: float | None = 20.0) -> dict[str, Any]:
    found = {"update": update, "seed": seed, "weight_ess_share": ess, "weight_clipped_share": clipped, "weight_temperature": 1.0}
    return found if trajectories is None else found | {"weight_trajectories": trajectories}


def test_sound_weights_have_no_warning() -> None:
    found = check_weights([row(10, ess=0.9), row(20, seed=0, ess=0.2), row(20, seed=1, ess=0.4, clipped=0.1)])
    assert found is not None
    assert found.warning == ""
    assert found.record() == {"ess": pytest.approx(0.3), "clipped": pytest.approx(0.05)}


@pytest.mark.parametrize(
    ("bad", "fault"),
    [
        (row(20, clipped=0.9), "saturated"), (row(20, ess=0.049, trajectories=None), "collapsed"),
        (row(20, ess=0.06, trajectories=2.9), "collapsed"),
    ],
)  # fmt: skip
def test_one_seed_at_one_evaluation_is_enough(bad: dict[str, Any], fault: str) -> None:
    found = check_weights([row(10), row(20, seed=1), bad, row(30), row(30, seed=1)])
    assert found is not None
    assert found.record()[fault] == 20
    assert f"{fault} after update 20" in found.warning
    assert len({"saturated", "collapsed"} & set(found.record())) == 1


def test_of_two_curated_trajectories_both_may_count() -> None:
    assert check_weights([row(10, ess=1.0, trajectories=2.0)]).warning == ""  # type: ignore[union-attr]
    assert check_weights([row(10, ess=0.6, trajectories=1.2)]).collapsed == 10  # type: ignore[union-attr]


def test_methods_without_ratios_have_no_check() -> None:
    assert check_weights([{"update": 1, "seed": 0, "loss": 0.1}]) is None
    assert check_weights([]) is None
    assert check_weights([row(10) | {"weight_ess_share": "nan"}]) is None
