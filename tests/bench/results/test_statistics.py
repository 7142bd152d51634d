"""Statistics over seeds against SciPy and against simulations with a known answer."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
from scipy import stats

from bench.results.statistics import holm, marks_of, paired, summarise

SKEWED: dict[str, Callable[[np.random.Generator, int], np.ndarray]] = {  # of mean 0
    "exponential": lambda rng, n: rng.exponential(1, n) - 1,
    "one seed in five fails": lambda rng, n: np.where(rng.random(n) < 0.2, -0.8, 0.2) + 0.03 * rng.standard_normal(n),
}


@pytest.mark.parametrize(
    ("kind", "seeds", "share"),
    [
        ("exponential", 3, 0.88), ("exponential", 10, 0.90), ("exponential", 40, 0.93),
        ("one seed in five fails", 3, 0.48), ("one seed in five fails", 5, 0.68), ("one seed in five fails", 10, 0.89),
    ],
)  # fmt: skip
def test_coverage_of_few_seeds_of_skewed_scores(kind: str, seeds: int, share: float) -> None:
    """The coverage of Student's interval is that stated in docs/statistics.md."""
    rng = np.random.default_rng(seeds)
    found = [summarise(SKEWED[kind](rng, seeds)) for _ in range(4000)]
    assert np.mean([s.low <= 0 <= s.high for s in found]) == pytest.approx(share, abs=0.015)


def test_a_single_seed_has_a_mean_and_no_interval() -> None:
    found = summarise([1.0])
    assert found.mean == 1
    assert np.isnan(found[1:]).all()


def test_students_interval_covers_with_three_seeds() -> None:
    rng = np.random.default_rng(1)
    found = [summarise(rng.normal(0, 1, 3)) for _ in range(3000)]
    assert 0.93 <= np.mean([s.low <= 0 <= s.high for s in found]) <= 0.97


@pytest.mark.parametrize(("tasks", "seeds"), [(1, 3), (1, 5), (3, 3), (9, 5)])
def test_paired_intervals_and_tests_keep_their_level(tasks: int, seeds: int) -> None:
    rng = np.random.default_rng(tasks + seeds)
    found = [paired(list(x := rng.normal(50, 10, (tasks, seeds))), list(x + 5 + rng.normal(0, 4, (tasks, seeds)))) for _ in range(3000)]
    assert 0.93 <= np.mean([c.low <= 5 <= c.high for c in found]) <= 0.97
    null = [paired(list(x := rng.normal(50, 10, (tasks, seeds))), list(x + rng.normal(0, 4, (tasks, seeds)))).p for _ in range(3000)]
    assert 0.025 <= np.mean(np.array(null) < 0.05) <= 0.065  # Satterthwaite errs on the safe side


def test_paired_is_scipys_test_on_one_data_set() -> None:
    x, y = np.array([1.0, 2.0, 4.0, 3.0]), np.array([2.0, 2.5, 4.5, 5.0])
    ours, scipys = paired([x], [y]), stats.ttest_rel(y, x)
    assert ours.p == pytest.approx(scipys.pvalue)
    assert (ours.low, ours.high) == pytest.approx(tuple(scipys.confidence_interval()))


def test_paired_without_spread() -> None:
    one = [np.array([1.0, 2.0])]
    assert paired(one, one).p == 1
    assert paired(one, [np.array([2.0, 3.0])]).p == 0
    assert np.isnan(paired([np.array([1.0])], [np.array([2.0])]).p)


def test_holm() -> None:
    """Worked example of Holm's step-down rule: 3 x 0.01, 2 x 0.03, and 0.04 raised to the value before it."""
    np.testing.assert_allclose(holm([0.04, 0.01, float("nan"), 0.03]), [0.06, 0.03, np.nan, 0.06])


def test_the_best_mean_alone_is_best_and_others_may_be_tied() -> None:
    near, far = [np.array([10.0, 11.0, 12.0])], [np.array([1.0, 2.0, 3.1])]
    best = [np.array([12.0, 10.5, 11.5])]
    assert marks_of([near, far, best]) == ["tied", "", "best"]
    assert marks_of([best, best]) == ["best", "best"]
    assert marks_of([[np.array([1.0])], [np.array([2.0])]]) == ["", "best"]
