"""The two-armed bandit reaches its exact values: P(R=1|left) = 1/2, P(R=1|right) = 1, uniform pi_ref, one step."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch
from torch import Tensor

from algos.batches.sampling import Sampler
from algos.methods.weighted_bc import Curation, Kind, Rule, Start, WeightedBC, WeightedBCConfig, Weighting
from algos.weights import trajectory_weights
from envs.data.trajectories import Trajectories
from tests.helpers.episodes import from_episodes

LEFT, RIGHT = 0.0, 1.0


def pulls() -> Trajectories:
    """Episodes of uniform pulls: left fails, left succeeds, right succeeds twice."""
    ended, cut = np.array([True]), np.array([False])
    outcomes = [(LEFT, 0.0), (LEFT, 1.0), (RIGHT, 1.0), (RIGHT, 1.0)]
    data = from_episodes([(np.zeros((2, 1)), [[arm]], [reward], ended, cut) for arm, reward in outcomes])
    return replace(data, num_actions=2)


def uniform() -> dict[str, Tensor]:
    """A uniform softmax over two arms: a linear layer whose observation is always 0, so that only its bias counts."""
    return {"0.weight": torch.zeros(1, 1, 2), "0.bias": torch.zeros(1, 2)}


def right_of(algo: WeightedBC) -> float:
    return algo.policy()["0.bias"].softmax(-1)[0, 1].item()


def probability_of_right(weighting: Weighting, min_score: float | None = 1.0, updates: int = 3000) -> float:
    """Train on all successes in every update and return pi(right)."""
    config = WeightedBCConfig(
        "bandit", batch_size=3, hidden=[], start=Start.pi_ref, learning_rate=0.05, sampler=Sampler.trajectories,
        curation=Curation(min_score=min_score), weighting=weighting,
    )  # fmt: skip
    algo = WeightedBC(config, pulls(), [0], uniform())
    count = len(algo.curated)
    batch = algo.stream._whole((torch.arange(count).double()[None] + 0.5) / count)
    for _ in range(updates):
        algo.update(algo.state, batch)
    return right_of(algo)


def mean_reward(right: float) -> float:
    return 0.5 * (1 - right) + right


def test_sft_learns_the_share_of_successes() -> None:
    right = probability_of_right(Weighting())
    assert right == pytest.approx(2 / 3, abs=1e-4)
    assert mean_reward(right) == pytest.approx(5 / 6, abs=1e-4)


def test_iw_sft_learns_to_go_right() -> None:
    right = probability_of_right(Weighting(Kind.trajectory, temperature=1, ema_rate=1.0, min_ess=0.0, min_trajectories=0.0))
    assert right == pytest.approx(1, abs=1e-3)
    assert mean_reward(right) == pytest.approx(1, abs=1e-3)


@pytest.mark.slow
def test_iw_sft_with_per_step_weights_learns_to_go_right() -> None:
    assert probability_of_right(Weighting(Kind.step, temperature=1, ema_rate=1.0, min_ess=0.0)) == pytest.approx(1, abs=1e-3)


def test_clipped_weights_stop_at_their_fixed_point() -> None:
    # Fixed point of p = 2 w_right / (2 w_right + w_left) with w_right = 0.8 and w_left = 2 (1 - p).
    right = probability_of_right(Weighting(Kind.trajectory, temperature=1, maximum=0.8, ema_rate=1.0, normalize=False, rule=Rule.authors))
    assert right == pytest.approx(0.8, abs=1e-3)


def test_a_floor_of_the_effective_sample_size_stops_in_between() -> None:
    """The policy moves until the ESS of the successes is the floor f: (2 w_right + w_left)^2 = 3 f (2 w_right^2 + w_left^2)."""
    floor = 0.9
    right = probability_of_right(Weighting(Kind.trajectory, temperature=1, ema_rate=1.0, min_ess=floor, min_trajectories=0.0))
    a, b, c = 4 - 6 * floor, 4.0, 1 - 3 * floor  # a x^2 + b x + c = 0 for x = w_right / w_left
    ratio = max(np.roots([a, b, c]).real)
    assert right == pytest.approx(2 * ratio / (2 * ratio + 1), abs=1e-3)


@pytest.mark.slow
def test_temperature_zero_is_sft() -> None:
    assert probability_of_right(Weighting(Kind.trajectory, temperature=0, ema_rate=1.0)) == pytest.approx(2 / 3, abs=1e-4)


def test_bc_imitates_everything() -> None:
    config = WeightedBCConfig("bandit", batch_size=4, hidden=[], learning_rate=0.05, sampler=Sampler.trajectories)
    algo = WeightedBC(config, pulls(), [0])
    batch = algo.stream._whole((torch.arange(4).double()[None] + 0.5) / 4)
    for _ in range(2000):
        algo.update(algo.state, batch)
    assert right_of(algo) == pytest.approx(1 / 2, abs=1e-4)


@pytest.mark.parametrize("right", [0.3, 0.5, 0.9])
def test_the_bound_is_tight_where_q_is_the_policy(right: float) -> None:
    """J >= E_ref[(q / pi_ref) (1 + log(p / q)) R], with equality at q = p: the bound with its constant."""
    p, reward = np.array([1 - right, right]), np.array([0.5, 1.0])
    objective = float(p @ reward)

    def bound(q: np.ndarray) -> float:
        ratio = trajectory_weights(torch.from_numpy(np.log(q / 0.5))[None], torch.ones(1), torch.full((1,), 1e6))[0].numpy()
        return float((0.5 * ratio * (1 + np.log(p / q)) * reward).sum())

    assert bound(p) == pytest.approx(objective, rel=1e-6)
    for other in (0.1, 0.4, 0.7):
        assert bound(np.array([1 - other, other])) < objective
