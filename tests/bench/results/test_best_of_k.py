"""Gain from tuning: against all choices, and with noise-free and noisy choices."""

from __future__ import annotations

from itertools import combinations

import numpy as np
import pytest

from bench.results.best_of_k import expected_best, expected_chosen


def test_expected_best_is_the_mean_over_all_choices() -> None:
    scores = [3.0, 1.0, 4.0, 1.0, 5.0]
    expected = [np.mean([max(c) for c in combinations(scores, k)]) for k in range(1, 6)]
    np.testing.assert_allclose(expected_best(scores), expected)


def test_expected_chosen_grows_with_evaluations_and_configurations() -> None:
    rng = np.random.default_rng(0)
    episodes = [rng.normal(m, 60, 100) for m in (10, 20, 30, 40)]
    values = [e.mean() for e in episodes]
    assert expected_chosen(episodes, 1, 5) == pytest.approx(np.mean(values), abs=1)
    few, many = expected_chosen(episodes, 4, 1), expected_chosen(episodes, 4, 200)
    assert np.mean(values) < few < many <= max(values)
    assert many == pytest.approx(max(values), abs=2)
