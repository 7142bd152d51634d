"""Weights, strata and losses against plain NumPy."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
import pytest
import torch

from algos.batches.curation import SCORES, Curation, best, curate, kept, strata
from algos.errors import ConfigError
from algos.networks.policies import GaussianPolicy
from algos.optimizer import Adam
from algos.weights import defensive_mixture, ess_share, mean_one, step_weights, summarise, tempered_weights, trajectory_weights
from envs.data.selection import parse
from envs.data.trajectories import Trajectories
from tests.helpers.episodes import from_episodes

RNG = np.random.default_rng(0)


def tensor(x: object) -> torch.Tensor:
    return torch.as_tensor(np.asarray(x), dtype=torch.float64)


def test_trajectory_weights() -> None:
    ratio = RNG.normal(size=(3, 7))
    temperature, maximum = np.array([0.5, 2.0, 10.0]), np.array([1.2, 3.0, 1000.0])
    expected = np.clip(np.exp(temperature[:, None] * ratio), 0, maximum[:, None])
    np.testing.assert_allclose(trajectory_weights(tensor(ratio), tensor(temperature), tensor(maximum)), expected)


def test_step_weights_are_clipped_on_both_sides() -> None:
    ratio = RNG.normal(size=(2, 50))
    low, high = np.array([0.5, 0.1]), np.array([1.5, 2.0])
    expected = np.clip(np.exp(3 * ratio), low[:, None], high[:, None])
    np.testing.assert_allclose(step_weights(tensor(ratio), tensor([3.0, 3.0]), tensor(low), tensor(high)), expected)


def test_an_overflowing_weight_is_the_maximum() -> None:
    weights = trajectory_weights(torch.tensor([[1e6, -1e6]]), torch.ones(1), torch.full((1,), 1000.0))
    assert weights.tolist() == [[1000.0, 0.0]]


def test_mean_one_is_weighted_by_the_coefficients() -> None:
    weights, coefficient = RNG.uniform(size=(2, 9)), RNG.uniform(size=(2, 9))
    expected = weights / ((weights * coefficient).sum(1) / coefficient.sum(1))[:, None]
    np.testing.assert_allclose(mean_one(tensor(weights), tensor(coefficient)), expected)


def test_summary() -> None:
    weights = np.array([[1.0, 1, 1, 1], [0, 0, 0, 2], [0.5, 1, 1.5, 2]])
    found = summarise(tensor(weights), tensor(np.ones((1, 4))), tensor([0.0, 0, 0.5]), tensor([5.0, 2, 2]))
    np.testing.assert_allclose(found.ess_share, [1, 0.25, 25 / 7.5 / 4], rtol=1e-6)
    assert found.minimum.tolist() == [1, 0, 0.5]
    assert found.maximum.tolist() == [1, 2, 2]
    np.testing.assert_allclose(found.clipped_share, [0, 0.25, 0.5])


def by_numpy(ratio: np.ndarray, base: np.ndarray, alpha: float) -> tuple[np.ndarray, float]:
    """Self-normalised weights and their ESS share, term by term."""
    weights = np.exp(alpha * ratio)
    weights = weights / (base @ weights / base.sum())
    return weights, (base @ weights) ** 2 / (base.sum() * (base @ weights**2))


def test_tempered_weights_without_a_floor_are_self_normalised_ratios() -> None:
    ratio, base = RNG.normal(size=(2, 9)), RNG.uniform(0.1, 1, size=(2, 9))
    temperature = np.array([0.5, 4.0])
    found, alpha = tempered_weights(tensor(ratio), tensor(base), tensor(temperature), tensor([0.0, 0.0]))
    for k in range(2):
        np.testing.assert_allclose(found[k], by_numpy(ratio[k], base[k], temperature[k])[0])
    np.testing.assert_allclose(alpha, temperature)


@pytest.mark.parametrize("floor", [0.05, 0.3, 0.9])
def test_the_temperature_is_the_largest_that_keeps_the_effective_sample_size(floor: float) -> None:
    ratio, base = 3 * RNG.normal(size=(4, 40)), RNG.uniform(0.1, 1, size=(4, 40))
    found, alpha = tempered_weights(tensor(ratio), tensor(base), tensor([10.0] * 4), tensor([floor] * 4))
    np.testing.assert_allclose(ess_share(found, tensor(base)), floor, rtol=1e-5)
    for k in range(4):
        assert by_numpy(ratio[k], base[k], 1.01 * float(alpha[k]))[1] < floor < by_numpy(ratio[k], base[k], 0.99 * float(alpha[k]))[1]


def test_members_are_tempered_on_their_own() -> None:
    ratio, base = RNG.normal(size=(3, 20)), np.ones((3, 20))
    arguments = tensor(ratio), tensor(base), tensor([1.0, 5.0, 50.0]), tensor([0.9, 0.0, 0.5])
    together, alpha = tempered_weights(*arguments)
    for k in range(3):
        alone, own = tempered_weights(*(x[k : k + 1] for x in arguments))
        assert torch.equal(alone[0], together[k])
        assert own[0] == alpha[k]


def test_a_common_drift_of_the_log_ratios_changes_no_tempered_weight_and_saturates_the_authors_rule() -> None:
    """The failure of HalfCheetah: q has gained likelihood everywhere, every weight is at the clip, and iw-SFT is SFT."""
    ratio = 0.1 * RNG.normal(size=(1, 30))
    base, temperature, none = tensor(np.ones((1, 30))), tensor([10.0]), tensor([0.2])
    still, drifted = (tempered_weights(tensor(ratio + drift), base, temperature, none)[0] for drift in (0.0, 5.0))
    np.testing.assert_allclose(drifted, still, rtol=1e-9)
    assert still.max() / still.min() > 10
    assert trajectory_weights(tensor(ratio + 5.0), temperature, tensor([1000.0])).unique().tolist() == [1000.0]


def test_one_trajectory_far_ahead_carries_everything_by_the_authors_rule_alone() -> None:
    ratio = np.zeros((1, 40))
    ratio[0, 7] = 0.6
    ratio[0, 8:12] = 0.3
    base, temperature = tensor(np.ones((1, 40))), tensor([10.0])
    authors = trajectory_weights(tensor(ratio), temperature, tensor([1000.0]))
    assert 40 * ess_share(authors, base) < 2
    tempered, alpha = tempered_weights(tensor(ratio), base, temperature, tensor([0.2]))
    assert 40 * ess_share(tempered, base) == pytest.approx(8, rel=1e-5)
    assert 0 < alpha < 10


def test_padding_has_no_weight_in_the_mean_or_in_the_effective_sample_size() -> None:
    ratio, base = RNG.normal(size=(1, 6)), np.array([[1.0, 1, 1, 1, 0, 0]])
    ratio[0, 4:] = 1e6
    padded, _ = tempered_weights(tensor(ratio), tensor(base), tensor([3.0]), tensor([0.6]))
    short, _ = tempered_weights(tensor(ratio[:, :4]), tensor(base[:, :4]), tensor([3.0]), tensor([0.6]))
    np.testing.assert_allclose(padded[:, :4], short)
    assert padded[0, 4:].tolist() == [0, 0]


def test_ratios_of_any_size_give_finite_weights() -> None:
    for scale in (1e-8, 1.0, 1e4, 1e30):
        weights, alpha = tempered_weights(
            torch.tensor([[0.0, 1.0, 2.0, 2.0]]) * scale, torch.ones(1, 4), torch.tensor([10.0]), torch.tensor([0.3])
        )
        assert weights.isfinite().all()
        assert alpha.isfinite().all()
        assert ess_share(weights, torch.ones(1, 4)) >= 0.3 - 1e-6


def test_the_temperature_is_exact_to_float32() -> None:
    """Beside bisection in double precision."""
    ratio = RNG.normal(size=(1, 60)) * np.array([[0.1], [0.5], [2.0], [8.0]])
    base, floor = np.ones((4, 60)), 0.2
    _, alpha = tempered_weights(*(torch.tensor(x, dtype=torch.float32) for x in (ratio, base, [10.0] * 4, [floor] * 4)))
    for k in range(4):
        low, high = 0.0, 10.0
        for _ in range(60):
            middle = (low + high) / 2
            low, high = (middle, high) if by_numpy(ratio[k], base[k], middle)[1] >= floor else (low, middle)
        assert float(alpha[k]) == pytest.approx(low, rel=5e-6)


def test_the_defensive_mixture_bounds_weights_from_below_and_keeps_their_mean() -> None:
    weights = tensor([[0.0, 0.5, 2.5], [1.0, 1.0, 1.0]])
    np.testing.assert_allclose(defensive_mixture(weights, tensor([0.2, 0.3])), [[0.2, 0.6, 2.2], [1, 1, 1]])


def test_strata_multiplicities() -> None:
    """With {90, 95, 98}, a top-2 % trajectory counts three times, 95-98 twice, 90-95 once."""
    scores = RNG.permutation(1000).astype(float)
    counts = np.bincount(strata(scores, [90, 95, 98]), minlength=1000)
    expected = np.select([scores >= 980, scores >= 950, scores >= 900], [3, 2, 1], 0)
    np.testing.assert_array_equal(counts, expected)


def test_no_percentile_keeps_every_trajectory_once() -> None:
    np.testing.assert_array_equal(strata(RNG.normal(size=5), []), range(5))


@pytest.mark.parametrize(
    ("scores", "expected"),
    [
        ([1] * 3 + [0] * 97, [3, 3, 3]),  # 3 successes of 100: the best tenth is the successes, not all 100
        ([1] * 323 + [0] * 197, [323, 323, 323]),  # more successes than a tenth: none is better than another
        ([0, 1, 1, 1], [3, 3, 3]),
        ([2] * 8 + [1] * 4 + [0] * 88, [8, 8, 8]),  # the tenth best score is 1, of which two are within the tenth and two are not
        ([2] * 6 + [1] * 4 + [0] * 90, [10, 6, 6]),  # the tenth ends between two scores
        ([5.0] * 20, [20, 20, 20]),
        (range(100), [10, 5, 2]),
        ([0.0], [1, 1, 1]),
    ],
)
def test_where_equal_scores_straddle_a_cut_the_strictly_better_ones_are_kept(scores: Sequence[float], expected: list[int]) -> None:
    values = np.asarray(scores, float)
    assert [len(best(values, p)) for p in (90, 95, 98)] == expected
    for percentile, count in zip((90, 95, 98), expected, strict=True):
        assert set(values[best(values, percentile)]) == set(np.sort(values)[-count:])  # the best, whole groups of equal ones
    assert len(strata(values, [90, 95, 98])) == sum(expected)


def test_selections_and_strata_agree() -> None:
    """`@top:X%` of a data set keeps what the percentile 100 - X keeps, for every number of episodes and of ties."""
    for count in (1, 2, 3, 7, 10, 11, 14, 40, 101):
        for returns in (*(RNG.integers(0, distinct, count).astype(float) for distinct in (1, 2, 5)), RNG.permutation(count).astype(float)):
            for share in ("0.5", "2", "5", "10", "25", "45", "50", "100"):
                (part,) = parse(f"x/y-v0@top:{share}%")
                np.testing.assert_array_equal(part.select(returns, returns), best(returns, 100 - float(share)))


def test_without_equal_scores_a_percentile_is_numpys() -> None:
    for count in (1, 2, 10, 11, 14, 40, 101, 1000):
        scores = RNG.normal(size=count)
        for percentile in (0, 5, 50, 90, 95, 98, 99.9):
            np.testing.assert_array_equal(best(scores, percentile), np.flatnonzero(scores >= np.percentile(scores, percentile)))


def test_equal_scores_are_said() -> None:
    def line(returns: Sequence[float], percentiles: list[float]) -> str | None:
        episodes = [(np.zeros((2, 1)), np.zeros((1, 1)), np.array([r]), np.array([True]), np.array([False])) for r in returns]
        return kept(from_episodes(episodes), Curation(percentiles)).line()

    lake = [1] * 3 + [0] * 97
    assert line(lake, [90, 95, 98]) == "strata coincide: percentiles 90, 95, 98 keep 3, 3, 3 of 100 trajectories, whose scores are equal"
    assert line(lake, [90]) == "equal scores at the cut: percentile 90 keeps 3 of 100 trajectories, not 10"
    assert line(range(100), [90, 95, 98]) is None
    assert line(lake, []) is None


@pytest.mark.parametrize(
    ("score", "rewards", "limit"),
    [
        ("return", [0.7], 0.7),
        ("return", [100, -99.3], 0.7),
        ("mean_reward", [0.7] * 3, 0.7),
        ("final_reward", [5, 0.7], 0.7),
        ("length", [1, 1], 2),
    ],
)
def test_a_trajectory_whose_score_is_min_score_is_kept(score: str, rewards: Sequence[float], limit: float) -> None:
    """Rewards are single precision: one of 0.7 is 0.69999999."""
    steps = len(rewards)
    flags = np.arange(steps) == steps - 1
    data = from_episodes([(np.zeros((steps + 1, 1)), np.zeros((steps, 1)), np.array(rewards), flags, ~flags & False)])
    assert curate(data, Curation(score=score, min_score=limit)).tolist() == [0]
    assert kept(data, Curation([50], score, limit)).kept == [1]
    with pytest.raises(ConfigError, match="no trajectory is left"):
        curate(data, Curation(score=score, min_score=limit + 1e-4))


def test_no_trajectory_left_is_an_error() -> None:
    with pytest.raises(ConfigError, match=r"no trajectory is left after filtering: the best score is 2, min_score is 3"):
        strata(np.array([1.0, 2.0]), [90], min_score=3.0)


def test_scores_that_are_not_finite_are_an_error() -> None:
    with pytest.raises(ConfigError, match="episode 1 is not finite"):
        strata(np.array([1.0, np.nan]), [90])


def test_trajectory_scores(small_data: Trajectories) -> None:
    for e in range(small_data.num_episodes):
        rewards = small_data.rewards[small_data.offsets[e] : small_data.offsets[e + 1]].double().numpy()
        expected = {"return": rewards.sum(), "length": len(rewards), "mean_reward": rewards.mean(), "final_reward": rewards[-1]}
        expected["partial"] = e / small_data.num_episodes
        stated = replace(small_data, partial=torch.arange(small_data.num_episodes).double() / small_data.num_episodes)
        for name, score in SCORES.items():
            np.testing.assert_allclose(score(stated)[e], expected[name], rtol=1e-6)


def test_gaussian_log_likelihood_and_kl() -> None:
    policy = GaussianPolicy(3, 2, (4,))
    params = policy.layout.views(policy.init([torch.Generator().manual_seed(i) for i in range(2)]))
    params["log_std"][:] = torch.tensor([[0.3, -9.0], [5.0, 0.1]])  # the clamp is [-5, 2]
    obs, actions = torch.randn(2, 6, 3), torch.rand(2, 6, 2)
    p = {k: v.double().numpy() for k, v in params.items()}
    for m in range(2):
        hidden = np.maximum(obs[m].double().numpy() @ p["0.weight"][m] + p["0.bias"][m], 0)
        mean = np.tanh(hidden @ p["1.weight"][m] + p["1.bias"][m])
        std = np.exp(np.clip(p["log_std"][m], -5, 2))
        density = np.exp(-(((actions[m].double().numpy() - mean) / std) ** 2) / 2) / (std * np.sqrt(2 * np.pi))
        found = policy.log_prob(params, obs, actions)[m].numpy()
        with np.errstate(divide="ignore"):
            expected = np.log(density).sum(1)
        inside = expected > -600
        np.testing.assert_allclose(found[inside], expected[inside], rtol=1e-4)
    swapped = {k: v.flip(0) for k, v in params.items()}
    assert policy.kl(params, params, obs).abs().max() < 1e-5
    # against a Monte Carlo estimate of E_p[log p - log q]
    narrow = {k: v.clone() for k, v in params.items()} | {"log_std": torch.tensor([[-0.5, 0.0], [0.2, -0.3]])}
    wide = {k: v.clone() for k, v in swapped.items()} | {"log_std": torch.tensor([[0.0, 0.2], [0.0, 0.1]])}
    one = obs[:, :1].expand(-1, 200_000, -1)
    draws = policy.mean(narrow, one) + policy.log_std(narrow).exp() * torch.randn(2, 200_000, 2, generator=torch.Generator().manual_seed(0))
    estimate = (policy.log_prob(narrow, one, draws) - policy.log_prob(wide, one, draws)).mean(1)
    torch.testing.assert_close(policy.kl(narrow, wide, obs[:, :1])[:, 0], estimate, rtol=0.02, atol=0.01)


def test_adam_is_pytorchs() -> None:
    torch.manual_seed(0)
    start, rates = torch.randn(3, 5), torch.tensor([1e-3, 1e-2, 0.3])
    ours, adam = start.clone(), Adam()
    state = adam.init(ours)
    theirs = [torch.nn.Parameter(row.clone()) for row in start]
    optimizers = [torch.optim.Adam([p], lr=rate.item()) for p, rate in zip(theirs, rates, strict=True)]
    for t in range(20):
        grad = torch.randn(3, 5)
        adam.step(ours, grad, state, torch.tensor(t), rates)
        for row, parameter, optimizer in zip(grad, theirs, optimizers, strict=True):
            parameter.grad = row.clone()
            optimizer.step()
    torch.testing.assert_close(ours, torch.stack([p.detach() for p in theirs]), rtol=1e-5, atol=1e-6)


def test_moments_of_dead_units_become_zero() -> None:
    """First moments of dead units become 0; PyTorch's stay subnormal, which is slow. Parameters are the same."""
    torch.manual_seed(0)
    ours, adam, rates = torch.randn(2, 8), Adam(), torch.full((2,), 1e-3)
    theirs = torch.nn.Parameter(ours.clone())
    state, optimizer = adam.init(ours), torch.optim.Adam([theirs], lr=1e-3)

    def subnormal(moments: torch.Tensor) -> torch.Tensor:
        return (moments != 0) & (moments.abs() < torch.finfo(torch.float32).tiny)

    for t in range(1500):
        grad = torch.randn(2, 8)
        grad[:, 3:] *= t < 10
        adam.step(ours, grad, state, torch.tensor(t), rates)
        theirs.grad = grad
        optimizer.step()
        assert not subnormal(state["adam_mean"]).any(), t
    assert subnormal(optimizer.state[theirs]["exp_avg"])[:, 3:].all()
    assert (state["adam_mean"][:, :3] != 0).all()
    torch.testing.assert_close(ours, theirs.detach(), rtol=1e-5, atol=1e-6)


def test_a_learning_rate_of_zero_changes_no_parameter() -> None:
    params = torch.randn(2, 3)
    before, adam = params.clone(), Adam()
    adam.step(params, torch.randn(2, 3), adam.init(params), torch.tensor(0), torch.zeros(2))
    assert torch.equal(params, before)


def test_wrong_labels_change_the_choice_the_same_way_each_time(small_data: Trajectories) -> None:
    right, wrong = Curation([50]), Curation([50], noise=1.0)
    chosen = curate(small_data, wrong)
    assert torch.equal(chosen, curate(small_data, wrong))
    assert not torch.equal(chosen, curate(small_data, right))
    assert torch.equal(curate(small_data, Curation([50], noise=1e-9)), curate(small_data, right))
    assert kept(small_data, wrong).kept == [len(chosen)]
    assert "noise" not in right.determinants()
    assert wrong.determinants()["noise"] == 1.0
    assert Curation(noise=1.0).determinants() == {}  # nothing is filtered
    with pytest.raises(ConfigError, match=r"curation.noise = -1: expected a number of at least 0"):
        Curation([90], noise=-1).check("curation")
