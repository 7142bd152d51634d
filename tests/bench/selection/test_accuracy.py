"""Rank correlation and regret against SciPy and brute force, and their intervals."""

from __future__ import annotations

from itertools import combinations

import numpy as np
import pytest
from scipy.stats import spearmanr

from bench.results.correlation import spearman
from bench.selection.accuracy import accuracy, at_random, regret

TRUTHS = np.array([10.0, 40.0, 20.0, 30.0, 40.0, 0.0])


def test_spearman_is_scipys() -> None:
    rng = np.random.default_rng(0)
    a, b = rng.integers(0, 5, (20, 9)).astype(float), rng.normal(size=(20, 9))
    expected = [spearmanr(x, y).statistic for x, y in zip(a, b, strict=True)]
    np.testing.assert_allclose(spearman(a, b), expected)
    assert np.isnan(spearman(np.ones((1, 4)), TRUTHS[None, :4])).all()


@pytest.mark.parametrize(
    ("estimates", "k", "expected"),
    [([1, 2, 3, 4, 5, 6], 1, 40), ([1, 2, 3, 4, 5, 6], 3, 0), ([9, 0, 8, 7, 0, 0], 1, 30), ([9, 0, 8, 7, 0, 0], 3, 10), ([0] * 6, 1, 30)],
)
def test_regret(estimates: list[float], k: int, expected: float) -> None:
    """The best of the k first in the order of estimates; of equal ones the first in the table."""
    assert regret(np.array([estimates], float), TRUTHS[None], k).tolist() == [expected]


def test_a_choice_at_random_by_enumeration() -> None:
    expected = [np.mean([TRUTHS.max() - TRUTHS[list(each)].max() for each in combinations(range(6), k)]) for k in (1, 3)]
    np.testing.assert_allclose(at_random(TRUTHS), expected)
    assert at_random(np.array([1.0, 3.0])) == (1.0, 0.0)


def test_policies_that_are_not_rated() -> None:
    """The correlation is that of the others; the best policy, not rated, counts in the regret."""
    found = accuracy(np.array([1.0, np.nan, 2.0, 3.0, np.nan, 0.0]), TRUTHS)
    assert (found.rated, found.correlation.value) == (4, pytest.approx(1.0))
    assert found.regret_1.value == 10
    none = accuracy(np.full(6, np.nan), TRUTHS)
    assert none.rated == 0
    assert np.isnan([none.correlation.value, none.regret_1.value]).all()


def test_intervals() -> None:
    """Intervals hold the value, shrink with the number of policies, and are those of the same resamples each time."""
    rng = np.random.default_rng(0)
    widths = []
    for count in (12, 120):
        truths = rng.normal(size=count)
        found = accuracy(truths + rng.normal(size=count), truths)
        assert found.correlation.low < found.correlation.value < found.correlation.high
        assert found.regret_1.low <= found.regret_1.value <= found.regret_1.high
        widths.append(found.correlation.high - found.correlation.low)
    assert widths[1] < widths[0] / 2
    fixed = np.arange(8.0)
    assert accuracy(fixed, fixed**2) == accuracy(fixed, fixed**2)
