"""The two-armed bandit, to its exact values: P(R=1|left) = 1/2, P(R=1|right) = 1, uniform pi_ref, one step."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import Tensor

from algos.networks import Layout, Params
from algos.policies import GaussianPolicy
from algos.sampling import Sampler
from algos.weighted_bc import Curation, Kind, Start, Training, WeightedBC, WeightedBCConfig, Weighting
from algos.weights import trajectory_weights
from envs.trajectories import Trajectories

LEFT, RIGHT = -1.0, 1.0


class TwoArms(GaussianPolicy):
    """A softmax over two arms in place of the Gaussian; an action is -1 (left) or 1 (right)."""

    @property
    def layout(self) -> Layout:
        return Layout((("logits", (2,)),))

    def init(self, generators: object) -> Tensor:
        return torch.zeros(1, 2)

    def log_prob(self, params: Params, observations: Tensor, actions: Tensor) -> Tensor:
        log_p = params["logits"].log_softmax(-1)
        return log_p.gather(1, (actions[..., 0] > 0).long())


class Bandit(WeightedBC):
    policy_class = TwoArms


def pulls() -> Trajectories:
    """What uniform pulling gives: left fails, left succeeds, right succeeds twice."""
    ended, cut = np.array([True]), np.array([False])
    outcomes = [(LEFT, 0.0), (LEFT, 1.0), (RIGHT, 1.0), (RIGHT, 1.0)]
    return Trajectories.from_episodes([(np.zeros((2, 1)), [[arm]], [reward], ended, cut) for arm, reward in outcomes])


def probability_of_right(weighting: Weighting, min_score: float | None = 1.0, updates: int = 3000) -> float:
    """Train on the successes, every one of them in each update, and return pi(right)."""
    training = Training(batch_size=3, learning_rate=0.05, sampler=Sampler.trajectories)
    config = WeightedBCConfig("bandit", Start.pi_ref, finetune=training, curation=Curation(min_score=min_score), weighting=weighting)
    algo = Bandit(config, pulls(), [0], {"logits": torch.zeros(1, 2)})
    count = len(algo.curated)
    batch = algo.stream._whole((torch.arange(count).double()[None] + 0.5) / count)
    for _ in range(updates):
        algo.update(algo.state, batch)
    return algo.policy()["logits"].softmax(-1)[0, 1].item()


def mean_reward(right: float) -> float:
    return 0.5 * (1 - right) + right


def test_sft_learns_the_share_of_successes() -> None:
    right = probability_of_right(Weighting())
    assert right == pytest.approx(2 / 3, abs=1e-4)
    assert mean_reward(right) == pytest.approx(5 / 6, abs=1e-4)


def test_iw_sft_learns_to_go_right() -> None:
    right = probability_of_right(Weighting(Kind.trajectory, temperature=1, maximum=1e6, ema_rate=1.0))
    assert right == pytest.approx(1, abs=1e-3)
    assert mean_reward(right) == pytest.approx(1, abs=1e-3)


def test_per_step_weights_do_the_same_in_one_step() -> None:
    assert probability_of_right(Weighting(Kind.step, temperature=1, maximum=1e6, ema_rate=1.0)) == pytest.approx(1, abs=1e-3)


def test_clipped_weights_stop_in_between() -> None:
    # Fixed point of p = 2 w_right / (2 w_right + w_left) with w_right = 0.8 and w_left = 2 (1 - p).
    right = probability_of_right(Weighting(Kind.trajectory, temperature=1, maximum=0.8, ema_rate=1.0, normalize=False))
    assert right == pytest.approx(0.8, abs=1e-3)


def test_temperature_zero_is_sft() -> None:
    assert probability_of_right(Weighting(Kind.trajectory, temperature=0, ema_rate=1.0)) == pytest.approx(2 / 3, abs=1e-4)


def test_bc_imitates_everything() -> None:
    config = WeightedBCConfig("bandit", scratch=Training(batch_size=4, learning_rate=0.05, sampler=Sampler.trajectories))
    algo = Bandit(config, pulls(), [0])
    algo.state["policy"] += torch.tensor([[0.0, 2.0]])
    batch = algo.stream._whole((torch.arange(4).double()[None] + 0.5) / 4)
    for _ in range(2000):
        algo.update(algo.state, batch)
    assert algo.policy()["logits"].softmax(-1)[0, 1].item() == pytest.approx(1 / 2, abs=1e-4)


@pytest.mark.parametrize("right", [0.3, 0.5, 0.9])
def test_the_bound_is_tight_where_q_is_the_policy(right: float) -> None:
    """J >= E_ref[(q / pi_ref) (1 + log(p / q)) R], with equality at q = p; the form with the constant."""
    p, reward = np.array([1 - right, right]), np.array([0.5, 1.0])
    objective = float(p @ reward)

    def bound(q: np.ndarray) -> float:
        ratio = trajectory_weights(torch.from_numpy(np.log(q / 0.5))[None], torch.ones(1), torch.full((1,), 1e6))[0].numpy()
        return float((0.5 * ratio * (1 + np.log(p / q)) * reward).sum())

    assert bound(p) == pytest.approx(objective, rel=1e-6)
    for other in (0.1, 0.4, 0.7):
        assert bound(np.array([1 - other, other])) < objective
