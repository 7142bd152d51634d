"""Aggregates and bootstrap intervals against rliable's recorded values, against SciPy and against simulations with a known answer."""

from __future__ import annotations

import json
import time
from typing import Any

import numpy as np
import pytest
from scipy import stats

from bench.results.bootstrap import METRICS, Resamples, aggregate, iqm, mean, performance_profile, probability_of_improvement
from bench.results.statistics import summarise
from tests.helpers.paths import FIXTURES

RLIABLE = json.loads((FIXTURES / "rliable_values.json").read_text())
SCORES = {name: [np.array(task) for task in tasks] for name, tasks in RLIABLE["scores"].items()}
QUANTILES = 20_000  # of a distribution, for its true IQM
KINDS: dict[str, Any] = {"normal": stats.norm(), "skewed": stats.expon(-1)}  # of mean 0 and standard deviation 1


def coverage(tasks: int, seeds: int, metric: str, simulations: int, kind: str = "normal", plain: bool = False) -> float:
    """Share of simulations whose nominal 95 % interval (rliable's if `plain`) contains the true value.

    Levels of data sets spread from 20 to 90; the standard deviation over seeds is 10.
    """
    rng = np.random.default_rng(tasks * 100 + seeds)
    levels = np.linspace(20, 90, tasks)[:, None]
    population = levels + 10 * KINDS[kind].ppf((np.arange(QUANTILES) + 0.5) / QUANTILES)
    truth = {"mean": population.mean(), "iqm": stats.trim_mean(population, 0.25, axis=None)}[metric]
    drawn = Resamples([seeds] * tasks, 1000)
    samples = levels + 10 * KINDS[kind].rvs((simulations, tasks, seeds), random_state=rng)
    found = (drawn.estimate(METRICS[metric], list(sample), plain=plain) for sample in samples)
    return float(np.mean([e.low <= truth <= e.high for e in found]))


@pytest.mark.parametrize("metric", METRICS)
@pytest.mark.parametrize("name", SCORES)
def test_aggregates_equal_rliables(name: str, metric: str) -> None:
    """Values agree up to rounding, intervals (plain percentiles) up to the noise of two independent bootstraps."""
    value, low, high = RLIABLE["aggregates"][name][metric]
    drawn = Resamples([len(x) for x in SCORES[name]], 20_000, seed=3)
    ours = drawn.estimate(METRICS[metric], SCORES[name], plain=True)
    assert ours.value == pytest.approx(value, rel=1e-12)
    assert ours.low == pytest.approx(low, abs=0.06 * (high - low))
    assert ours.high == pytest.approx(high, abs=0.06 * (high - low))


@pytest.mark.parametrize("name", SCORES)
def test_performance_profiles_equal_rliables(name: str) -> None:
    share, _, _ = performance_profile(SCORES[name], np.array(RLIABLE["thresholds"]))
    np.testing.assert_allclose(share, RLIABLE["profiles"][name][0], rtol=1e-12)


@pytest.mark.parametrize("pair", RLIABLE["probability_of_improvement"])
def test_probability_of_improvement_equals_rliables(pair: str) -> None:
    x, y = (SCORES[name] for name in pair.split(","))
    value, low, high = RLIABLE["probability_of_improvement"][pair]
    ours = probability_of_improvement(x, y)
    assert ours.value == pytest.approx(value, rel=1e-6)
    assert ours.low <= low + 0.01  # ours is expanded for few seeds, never shorter
    assert ours.high >= high - 0.01
    assert probability_of_improvement(y, x).value == pytest.approx(1 - ours.value, abs=1e-6)


def test_iqm_equals_scipys_trimmed_mean_of_every_resample() -> None:
    """The sum over counts equals the trimmed mean of the sorted resample, with ties and sizes that four does not divide."""
    rng = np.random.default_rng(0)
    strata = [rng.integers(0, 9, n).astype(float) for n in (3, 5, 2)]
    drawn = Resamples([3, 5, 2], 200)
    values = np.concatenate(strata)
    ours = iqm(values, drawn.counts, drawn.sizes)
    expected = [stats.trim_mean(np.repeat(values, drawn.counts[:, r].astype(int)), 0.25) for r in range(200)]
    np.testing.assert_allclose(ours, expected, rtol=1e-6)


def test_resamples_stay_within_their_data_set_and_depend_only_on_the_seed() -> None:
    drawn = Resamples([3, 5], 1000)
    assert (drawn.counts[:3].sum(0) == 3).all()
    assert (drawn.counts[3:].sum(0) == 5).all()
    np.testing.assert_allclose(drawn.counts.mean(1), 1, atol=0.15)
    assert (drawn.counts == Resamples([3, 5], 1000).counts).all()
    assert (drawn.counts != Resamples([3, 5], 1000, seed=1).counts).any()


@pytest.mark.parametrize(
    ("tasks", "seeds", "metric"),
    [(9, 10, "iqm"), (9, 3, "iqm"), (3, 10, "iqm"), (3, 5, "iqm"), (3, 3, "iqm"), (3, 3, "mean"), (1, 3, "mean")],
)
def test_intervals_cover_95_percent(tasks: int, seeds: int, metric: str) -> None:
    """95 % intervals of normal scores cover 93 to 97 %, with three seeds as with ten, on three data sets as on nine."""
    assert 0.93 <= coverage(tasks, seeds, metric, 1500) <= 0.97


def test_plain_percentile_intervals_are_too_narrow() -> None:
    """Plain percentile intervals of few seeds cover too little, which is why the suite stretches them."""
    assert coverage(3, 3, "iqm", 500, plain=True) < 0.87


@pytest.mark.parametrize("metric", METRICS)
def test_equal_values_have_an_interval_of_width_zero(metric: str) -> None:
    found = Resamples([3, 3], 200).estimate(METRICS[metric], [np.full(3, 50.0)] * 2)
    assert found.low == found.value == found.high


def test_one_data_sets_interval_is_close_to_students() -> None:
    x = np.random.default_rng(4).normal(50, 10, 12)
    ours, students = aggregate(mean, [x]), summarise(x)
    assert (ours.low, ours.high) == pytest.approx((students.low, students.high), abs=0.06 * (students.high - students.low))


def test_data_sets_count_by_their_contribution_to_the_variance() -> None:
    """Seeds without spread add no degrees of freedom: the interval is as wide as that of the three noisy seeds."""
    noisy, still = np.array([40.0, 50.0, 63.0]), np.full(30, 50.0)
    alone, both = aggregate(mean, [noisy]), aggregate(mean, [noisy, still])
    assert both.high - both.low == pytest.approx((alone.high - alone.low) / 2, rel=0.02)


def test_intervals_of_the_probability_of_improvement_cover_95_percent() -> None:
    rng = np.random.default_rng(5)
    truth = stats.norm.cdf(0.5 / np.sqrt(2))
    found = [probability_of_improvement(list(rng.normal(0.5, 1, (9, 5))), list(rng.normal(0, 1, (9, 5))), number=1000) for _ in range(600)]
    assert 0.93 <= np.mean([e.low <= truth <= e.high for e in found]) <= 0.975


def test_probability_of_improvement_has_no_interval_of_fewer_than_five_seeds() -> None:
    """Three seeds on one data set would cover 72 to 90 %."""
    few, enough = (probability_of_improvement([np.arange(n) + 0.5], [np.arange(n) + 0.1]) for n in (4, 5))
    assert np.isnan(few.low)
    assert enough.low < enough.value < enough.high


def test_a_single_seed_has_a_value_and_no_interval() -> None:
    found = aggregate(iqm, [np.array([1.0]), np.array([3.0])])
    assert found.value == 2
    assert np.isnan(found.low)


def test_values_that_are_not_finite_are_refused() -> None:
    with pytest.raises(ValueError, match="not finite"):
        aggregate(mean, [np.array([1.0, np.nan])])


def test_the_bootstrap_is_fast() -> None:
    """50,000 resamples of 12 methods x 9 data sets x 10 seeds take less than 2 s of one core."""
    scores = np.random.default_rng(0).normal(50, 10, (12, 9, 10))
    begun = time.process_time()
    drawn = Resamples([10] * 9, 50_000)
    found = [drawn.estimate(iqm, list(method)) for method in scores]
    assert time.process_time() - begun < 2
    assert all(e.low < e.value < e.high for e in found)
