"""Bounds never exceed J, are tight where q is the policy, and their gap is a Kullback-Leibler divergence; moments of gradients."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import Tensor

from bench.studies.bounds.values import bound, cosine, log_mean, moments, path

M = 40


def case(seed: int = 0) -> tuple[Tensor, Tensor, Tensor]:
    """share, log_ratio and log_weight of M trajectories."""
    generator = torch.Generator().manual_seed(seed)
    share = torch.rand(M, generator=generator, dtype=torch.float64)
    return 0.3 * share / share.sum(), *(torch.randn(2, M, generator=generator, dtype=torch.float64))


@pytest.mark.parametrize("seed", range(5))
def test_no_weights_give_more_than_j(seed: int) -> None:
    """Any weights: also clipped ones, and some that are 0."""
    share, log_ratio, log_weight = case(seed)
    objective = float((share * log_ratio.exp()).sum())
    for log_w in (log_weight, 5 * log_weight, log_weight.clamp(max=-0.5), torch.where(log_weight > 0, log_weight, -torch.inf)):
        found = bound(share, log_ratio, log_w)
        assert found.plain <= found.best < objective
        assert found.log_gain < log_mean(share, log_ratio)


def test_the_bound_is_the_papers() -> None:
    """J_ref (1 + K) is E_ref[R w (1 + log(p / ref) - log w)] for weights of mean 1; w = 1 is SFT's."""
    share, log_ratio, log_weight = case()
    weights = (log_weight.exp() * share.sum() / (share * log_weight.exp()).sum()).numpy()
    expected = (share.numpy() * weights * (1 + log_ratio.numpy() - np.log(weights))).sum()
    assert bound(share, log_ratio, log_weight).plain == pytest.approx(expected)
    assert bound(share, log_ratio, torch.zeros(M).double()).plain == pytest.approx(float((share * (1 + log_ratio)).sum()))


def test_the_bound_is_tight_where_q_is_the_policy_and_only_there() -> None:
    share, log_ratio, _ = case()
    gaps = {name: float(log_mean(share, log_ratio)) - bound(share, log_ratio, w).log_gain for name, w in path(log_ratio).items()}
    assert gaps.pop("alpha 1") == pytest.approx(0, abs=1e-12)
    values = list(gaps.values())
    assert min(values) > 1e-4
    below = [gap for name, gap in gaps.items() if float(name.split()[1]) < 1]
    assert below == sorted(below, reverse=True)
    assert values[len(below) :] == sorted(values[len(below) :])


def test_the_gap_is_the_divergence_of_rewarded_trajectories() -> None:
    share, log_ratio, log_weight = case()
    q, p = ((share * x.exp()) / (share * x.exp()).sum() for x in (log_weight, log_ratio))
    divergence = float((q * (q / p).log()).sum())
    assert float(log_mean(share, log_ratio)) - bound(share, log_ratio, log_weight).log_gain == pytest.approx(divergence)


def test_ess_is_a_share_and_a_common_factor_changes_nothing() -> None:
    share, log_ratio, log_weight = case()
    assert bound(share, log_ratio, torch.zeros(M).double()).ess == pytest.approx(1)
    one = torch.full((M,), -torch.inf).double()
    one[3] = 0.0
    assert bound(share, log_ratio, one).ess == pytest.approx(float(share[3] / share.sum()))
    assert bound(share, log_ratio, log_weight + 700) == pytest.approx(bound(share, log_ratio, log_weight))


def test_moments_and_cosine_are_those_of_the_gradients() -> None:
    share, log_ratio, log_weight = case()
    gradients = torch.randn(M, 7, generator=torch.Generator().manual_seed(9), dtype=torch.float64)
    chances = (share / share.sum()).numpy()
    estimates = {}
    for name, logs in (("own", log_weight), ("p", log_ratio)):
        weights = logs.exp().numpy() / (chances * logs.exp().numpy()).sum()
        estimates[name] = weights[:, None] * gradients.numpy()
    mean = {name: chances @ each for name, each in estimates.items()}
    found = moments(share, log_weight, gradients @ gradients.T)
    assert found.norm == pytest.approx(float(np.linalg.norm(mean["own"])))
    assert found.variance == pytest.approx(float(chances @ ((estimates["own"] - mean["own"]) ** 2).sum(1)))
    expected = mean["own"] @ mean["p"] / np.linalg.norm(mean["own"]) / np.linalg.norm(mean["p"])
    assert cosine(share, log_weight, log_ratio, gradients @ gradients.T) == pytest.approx(float(expected))
    assert np.isnan(cosine(share, log_weight, log_ratio, torch.zeros(M, M).double()))
