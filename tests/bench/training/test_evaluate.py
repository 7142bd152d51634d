"""Every member's episode e is played by that member's policy from its own seed, for any number of environments."""

from __future__ import annotations

from collections.abc import Callable
from types import SimpleNamespace
from typing import Any

import gymnasium
import numpy as np
import pytest
import torch
from torch import Tensor

from algos.base import Algo
from bench.training import evaluate as evaluation
from bench.training.evaluate import evaluate
from envs.data.trajectories import Trajectories
from envs.errors import DataError
from envs.evaluation.rollout import Evaluator, episode_seeds
from envs.readers.load import load

GAINS = torch.tensor([0.1, 0.5, 0.9])


class Proportional(Algo):
    """Member k pushes with gain GAINS[k]: their episodes differ."""

    def act(self, observations: Tensor) -> Tensor:
        return (GAINS[: self.members, None, None] * (observations[..., 1:2] * 10 + observations[..., 3:4])).clamp(-1, 1)

    def draws(self, update: int) -> Any: ...

    def step(self, phase: int, draws: Any) -> Any: ...

    def diagnostics(self) -> Any: ...

    def policy(self) -> dict[str, Tensor]:
        return {"gain": GAINS[: self.members, None]}


def alone(gain: float, seed: int) -> tuple[float, int]:
    """Return and length of an episode played without the suite: actions of the unit box are scaled to the environment's [-3, 3]."""
    env = gymnasium.make("InvertedPendulum-v5")
    observation, total, length = env.reset(seed=seed)[0].astype(np.float32), 0.0, 0
    while True:
        action = 3 * np.clip(np.float32(gain) * (observation[1:2] * 10 + observation[3:4]), -1, 1)
        observation, reward, terminated, truncated, _ = env.step(action)
        observation, total, length = observation.astype(np.float32), total + float(reward), length + 1
        if terminated or truncated:
            return total, length


@pytest.mark.parametrize("environments", [1, 6, 64])
def test_every_row_equals_an_episode_played_alone(
    small_data: Trajectories, pendulum_data: Callable, monkeypatch: pytest.MonkeyPatch, environments: int
) -> None:
    pendulum_data()
    data, seeds = load("test/pendulum/random-v0"), [7, 0, 4]
    monkeypatch.setattr(evaluation, "ENVIRONMENTS", environments)
    with Evaluator(data.env_spec, 2) as processes:
        rows = evaluate(Proportional(small_data, seeds), data, processes, 200, 5, lambda: None)
    assert [(r["seed"], r["episode"]) for r in rows] == [(s, e) for s in seeds for e in range(5)]
    assert {r["update"] for r in rows} == {200}
    starts = episode_seeds(seeds, 200, 5)
    for row in rows:
        k = seeds.index(row["seed"])
        total, length = alone(float(GAINS[k]), int(starts[k, row["episode"]]))
        assert row["length"] == length
        assert row["return"] == pytest.approx(total)


def test_an_environment_with_other_observations_is_refused(small_data: Trajectories, pendulum_data: Callable) -> None:
    pendulum_data()
    data = load("test/pendulum/random-v0")
    other: Any = SimpleNamespace(observation_width=5, to_env=data.to_env)
    with (
        Evaluator(data.env_spec, 1) as environments,
        pytest.raises(DataError, match="an observation of the environment has 4 numbers; the policies take 5"),
    ):
        evaluate(Proportional(small_data, [7]), other, environments, 200, 1, lambda: None)
