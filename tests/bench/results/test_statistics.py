"""Statistics against rliable's recorded values, against SciPy and against simulations with a known answer."""

from __future__ import annotations

import json
import time

import numpy as np
import pytest
from scipy import stats

from bench.results import best_of_k as budget
from bench.results import few_seeds, statistics
from bench.results.coverage import covered
from bench.results.statistics import METRICS, Resamples, aggregate, holm, not_worse_than_best, paired, probability_of_improvement
from tests.helpers.paths import FIXTURES

RLIABLE = json.loads((FIXTURES / "rliable_values.json").read_text())
SCORES = {name: [np.array(task) for task in tasks] for name, tasks in RLIABLE["scores"].items()}


@pytest.mark.parametrize("metric", METRICS)
@pytest.mark.parametrize("name", SCORES)
def test_aggregates_are_rliables(name: str, metric: str) -> None:
    """Values to rounding; intervals (plain percentiles) to the noise of two independent bootstraps."""
    value, low, high = RLIABLE["aggregates"][name][metric]
    drawn = Resamples([len(x) for x in SCORES[name]], 20_000, seed=3)
    ours = drawn.estimate(METRICS[metric], SCORES[name], plain=True)
    assert ours.value == pytest.approx(value, rel=1e-12)
    assert ours.low == pytest.approx(low, abs=0.06 * (high - low))
    assert ours.high == pytest.approx(high, abs=0.06 * (high - low))


@pytest.mark.parametrize("name", SCORES)
def test_performance_profiles_are_rliables(name: str) -> None:
    share, _, _ = statistics.performance_profile(SCORES[name], np.array(RLIABLE["thresholds"]))
    np.testing.assert_allclose(share, RLIABLE["profiles"][name][0], rtol=1e-12)


@pytest.mark.parametrize("pair", RLIABLE["probability_of_improvement"])
def test_probability_of_improvement_is_rliables(pair: str) -> None:
    x, y = (SCORES[name] for name in pair.split(","))
    value, low, high = RLIABLE["probability_of_improvement"][pair]
    ours = probability_of_improvement(x, y)
    assert ours.value == pytest.approx(value, rel=1e-6)
    assert ours.low <= low + 0.01  # ours is expanded for few seeds, never shorter
    assert ours.high >= high - 0.01
    assert probability_of_improvement(y, x).value == pytest.approx(1 - ours.value, abs=1e-6)


def test_iqm_is_scipys_trimmed_mean_of_every_resample() -> None:
    """The sum over counts is the sorted resample's trimmed mean, sizes that four does not divide and ties included."""
    rng = np.random.default_rng(0)
    strata = [rng.integers(0, 9, n).astype(float) for n in (3, 5, 2)]
    drawn = Resamples([3, 5, 2], 200)
    values = np.concatenate(strata)
    ours = statistics.iqm(values, drawn.counts, drawn.sizes)
    expected = [stats.trim_mean(np.repeat(values, drawn.counts[:, r].astype(int)), 0.25) for r in range(200)]
    np.testing.assert_allclose(ours, expected, rtol=1e-6)


def test_resamples_stay_within_their_data_set_and_depend_on_the_seed_alone() -> None:
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
def test_intervals_cover_what_they_say(tasks: int, seeds: int, metric: str) -> None:
    """95 % intervals of normal scores cover 93 to 97 %, with three seeds as with ten, on three data sets as on nine."""
    assert 0.93 <= covered(tasks, seeds, metric, 1500) <= 0.97


def test_what_the_tables_say_of_few_seeds() -> None:
    """88 to 90 % of exponential scores with 3 to 10 seeds (48 to 89 % of failing ones), 93 % from FEW on; 95 % of normal ones."""
    for seeds in (3, 5, 10):
        share, _ = few_seeds.covered("skewed", seeds, "student", 20_000)
        assert 0.875 <= share <= 0.905
        assert few_seeds.covered("normal", seeds, "student", 20_000)[0] == pytest.approx(0.95, abs=0.01)
    failing = [few_seeds.covered("failing", seeds, "student", 20_000)[0] for seeds in (3, 5, 10)]
    assert failing == sorted(failing)
    assert (failing[0], failing[-1]) == (pytest.approx(0.48, abs=0.015), pytest.approx(0.89, abs=0.015))
    assert few_seeds.covered("skewed", few_seeds.FEW, "student", 20_000)[0] == pytest.approx(0.93, abs=0.01)
    assert few_seeds.covered("skewed", few_seeds.FEW // 2, "student", 20_000)[0] < 0.925
    assert few_seeds.note([few_seeds.FEW, 1]) is None
    assert "over 3 to 10 seeds" in (few_seeds.note([3, few_seeds.FEW, 10]) or "")


def test_the_simulated_intervals_are_the_suites_own_and_scipys() -> None:
    x = np.random.default_rng(0).exponential(1, (50, 5))
    low, high = few_seeds.student(x)
    np.testing.assert_allclose(np.stack([low, high], 1), [statistics.summarise(row)[2:] for row in x])
    low, high = few_seeds.bootstrap_t(x)
    assert ((low < x.mean(1)) & (x.mean(1) < high)).all()
    # Hall's transformation g of the studentised mean, written out, is Student's quantile at either bound.
    quantile, skew = stats.t.ppf(0.975, 4), stats.skew(x, 1, bias=False)
    for bound, sign in zip(few_seeds.hall(x), (1, -1), strict=True):
        s = (x.mean(1) - bound) / x.std(1, ddof=1)
        np.testing.assert_allclose(np.sqrt(5) * (s + skew * s**2 / 3 + skew**2 * s**3 / 27 + skew / 30), sign * quantile, rtol=1e-6)
    np.testing.assert_allclose(np.mean(few_seeds.johnson(x), axis=0), x.mean(1) + skew * x.std(1, ddof=1) / 30)


def test_plain_percentiles_do_not_cover() -> None:
    """Else stretching them would be for nothing."""
    assert covered(3, 3, "iqm", 500, plain=True) < 0.87


@pytest.mark.parametrize("metric", METRICS)
def test_an_interval_of_values_that_are_all_alike_is_a_point(metric: str) -> None:
    found = Resamples([3, 3], 200).estimate(METRICS[metric], [np.full(3, 50.0)] * 2)
    assert found.low == found.value == found.high


def test_one_data_sets_interval_is_close_to_students() -> None:
    x = np.random.default_rng(4).normal(50, 10, 12)
    ours, students = aggregate(statistics.mean, [x]), statistics.summarise(x)
    assert (ours.low, ours.high) == pytest.approx((students.low, students.high), abs=0.06 * (students.high - students.low))


def test_data_sets_of_different_numbers_of_seeds_weigh_by_what_they_contribute() -> None:
    """Seeds that do not move the metric lend it no degrees of freedom: the interval is as wide as that of the noisy three alone."""
    noisy, still = np.array([40.0, 50.0, 63.0]), np.full(30, 50.0)
    alone, both = aggregate(statistics.mean, [noisy]), aggregate(statistics.mean, [noisy, still])
    assert both.high - both.low == pytest.approx((alone.high - alone.low) / 2, rel=0.02)


@pytest.mark.parametrize(("tasks", "seeds"), [(1, 3), (1, 5), (3, 3), (9, 5)])
def test_paired_intervals_cover_and_tests_err_as_often_as_they_say(tasks: int, seeds: int) -> None:
    rng = np.random.default_rng(tasks + seeds)
    found = [paired(list(x := rng.normal(50, 10, (tasks, seeds))), list(x + 5 + rng.normal(0, 4, (tasks, seeds)))) for _ in range(3000)]
    assert 0.93 <= np.mean([c.low <= 5 <= c.high for c in found]) <= 0.97
    null = [paired(list(x := rng.normal(50, 10, (tasks, seeds))), list(x + rng.normal(0, 4, (tasks, seeds)))).p for _ in range(3000)]
    assert 0.025 <= np.mean(np.array(null) < 0.05) <= 0.065  # Satterthwaite errs on the safe side


def test_students_interval_covers_with_three_seeds() -> None:
    rng = np.random.default_rng(1)
    found = [statistics.summarise(rng.normal(0, 1, 3)) for _ in range(3000)]
    assert 0.93 <= np.mean([s.low <= 0 <= s.high for s in found]) <= 0.97


def test_probability_of_improvement_covers() -> None:
    rng = np.random.default_rng(5)
    truth = stats.norm.cdf(0.5 / np.sqrt(2))
    found = [probability_of_improvement(list(rng.normal(0.5, 1, (9, 5))), list(rng.normal(0, 1, (9, 5))), number=1000) for _ in range(600)]
    assert 0.93 <= np.mean([e.low <= truth <= e.high for e in found]) <= 0.975


def test_probability_of_improvement_has_no_interval_of_fewer_than_five_seeds() -> None:
    """Three seeds on one data set would cover 72 to 90 %."""
    few, enough = (probability_of_improvement([np.arange(n) + 0.5], [np.arange(n) + 0.1]) for n in (4, 5))
    assert np.isnan(few.low)
    assert enough.low < enough.value < enough.high


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
    """The worked numbers of Holm's step-down rule: 3 x 0.01, 2 x 0.03, and 0.04 raised to what comes before it."""
    np.testing.assert_allclose(holm([0.04, 0.01, float("nan"), 0.03]), [0.06, 0.03, np.nan, 0.06])


def test_bold_marks_the_best_and_what_the_test_cannot_tell_from_it() -> None:
    near, far = [np.array([10.0, 11.0, 12.0])], [np.array([1.0, 2.0, 3.1])]
    best = [np.array([12.0, 10.5, 11.5])]
    assert not_worse_than_best([near, far, best]) == [True, False, True]
    assert not_worse_than_best([[np.array([1.0])], [np.array([2.0])]]) == [False, True]


def test_a_single_seed_has_a_value_and_no_interval() -> None:
    found = aggregate(statistics.iqm, [np.array([1.0]), np.array([3.0])])
    assert found.value == 2
    assert np.isnan(found.low)
    assert np.isnan(statistics.standard_error([1.0]))


def test_values_that_are_not_finite_are_refused() -> None:
    with pytest.raises(ValueError, match="not finite"):
        aggregate(statistics.mean, [np.array([1.0, np.nan])])


def test_expected_best_is_the_mean_over_all_choices() -> None:
    from itertools import combinations

    scores = [3.0, 1.0, 4.0, 1.0, 5.0]
    expected = [np.mean([max(c) for c in combinations(scores, k)]) for k in range(1, 6)]
    np.testing.assert_allclose(budget.expected_best(scores), expected)


def test_expected_chosen_grows_with_evaluations_and_configurations() -> None:
    rng = np.random.default_rng(0)
    episodes = [rng.normal(m, 60, 100) for m in (10, 20, 30, 40)]
    values = [e.mean() for e in episodes]
    assert budget.expected_chosen(episodes, 1, 5) == pytest.approx(np.mean(values), abs=1)
    few, many = budget.expected_chosen(episodes, 4, 1), budget.expected_chosen(episodes, 4, 200)
    assert np.mean(values) < few < many <= max(values)
    assert many == pytest.approx(max(values), abs=2)


def test_the_bootstrap_is_fast() -> None:
    """50,000 resamples of 12 methods x 9 data sets x 10 seeds take less than 2 s of one core."""
    scores = np.random.default_rng(0).normal(50, 10, (12, 9, 10))
    begun = time.process_time()
    drawn = Resamples([10] * 9, 50_000)
    found = [drawn.estimate(statistics.iqm, list(method)) for method in scores]
    assert time.process_time() - begun < 2
    assert all(e.low < e.value < e.high for e in found)
