"""Threads: whole episodes are equal to Gymnasium's to the bit, for every task that uses them."""

from __future__ import annotations

import json
from typing import Any

import gymnasium
import numpy as np
import pytest

from envs.data.environments import make
from envs.evaluation.rollout import Evaluator, Moments

LIMIT = 120
TASKS: list[tuple[str, dict[str, Any]]] = [
    ("Hopper-v5", {}),
    ("Hopper-v5", {"terminate_when_unhealthy": False, "exclude_current_positions_from_observation": False, "ctrl_cost_weight": 1}),
    ("Hopper-v5", {"healthy_state_range": (-4.0, 4.0), "frame_skip": 2, "reset_noise_scale": 0.05, "healthy_reward": 2}),
    ("HalfCheetah-v5", {}),
    ("HalfCheetah-v5", {"exclude_current_positions_from_observation": False, "forward_reward_weight": 0.3, "reset_noise_scale": 0.3}),
    ("Walker2d-v5", {}),
    ("Walker2d-v5", {"terminate_when_unhealthy": False, "healthy_z_range": (0.9, 1.3)}),
    ("Walker2d-v5", {"exclude_current_positions_from_observation": False, "healthy_angle_range": (-0.3, 0.3), "healthy_reward": 0.5}),
    ("Ant-v5", {}),
    ("Ant-v5", {"include_cfrc_ext_in_observation": False, "exclude_current_positions_from_observation": False, "frame_skip": 3}),
    ("Ant-v5", {"terminate_when_unhealthy": False, "main_body": 3, "contact_cost_weight": 0.1, "contact_force_range": (-9, 9)}),
    ("Swimmer-v5", {}),
    ("Swimmer-v5", {"exclude_current_positions_from_observation": False, "ctrl_cost_weight": 0.1}),
]  # fmt: skip


def spec_of(env_id: str, limit: int = LIMIT, **kwargs: Any) -> str:
    spec = gymnasium.spec(env_id)
    return json.dumps(json.loads(spec.to_json()) | {"max_episode_steps": limit, "kwargs": spec.kwargs | kwargs})


class Policy:
    """Actions from a random linear map of the observation, plus noise by seed and step; every observation [T, obs] by seed."""

    def __init__(self, env: Any, scale: float) -> None:
        self.high, self.scale = env.action_space.high, scale
        self.weights = np.random.default_rng(0).normal(size=(env.observation_space.shape[0], len(self.high)))
        self.seen: dict[int, list[np.ndarray]] = {}

    def __call__(self, observations: np.ndarray, moments: Moments) -> np.ndarray:
        return np.stack([self.one(*row) for row in zip(observations, *moments, strict=True)])

    def one(self, observation: np.ndarray, seed: int, step: int) -> np.ndarray:
        seen = self.seen.setdefault(int(seed), [])
        if len(seen) == step:  # rows of finished environments repeat
            seen.append(observation.copy())
        noise = np.random.default_rng((int(seed), int(step))).uniform(-1, 1, len(self.high))
        unit = np.tanh(self.scale * (observation[None].astype(np.float64) @ self.weights)[0]) + noise
        return np.clip(unit * self.high, -self.high, self.high).astype(np.float32)


def by_gymnasium(env_spec: str, seeds: np.ndarray, policy: Policy) -> tuple[np.ndarray, np.ndarray]:
    """Returns and lengths of a plain loop."""
    env = make(env_spec)
    returns, lengths = np.zeros(seeds.shape), np.zeros(seeds.shape, int)
    for index, seed in np.ndenumerate(seeds):
        observation, ended = env.reset(seed=int(seed))[0], False
        while not ended:
            action = policy.one(observation.astype(np.float32), int(seed), int(lengths[index]))
            observation, reward, terminated, truncated, _ = env.step(action)
            returns[index] += float(reward)
            lengths[index] += 1
            ended = terminated or truncated
    env.close()
    return returns, lengths


@pytest.mark.parametrize("scale", [0.0, 0.3], ids=["random", "feedback"])
@pytest.mark.parametrize(("env_id", "kwargs"), TASKS)
def test_whole_episodes_are_equal_to_gymnasium(env_id: str, kwargs: dict[str, Any], scale: float) -> None:
    env_spec, seeds = spec_of(env_id, **kwargs), np.arange(6).reshape(3, 2)
    env = make(env_spec)
    threads, loop = Policy(env, scale), Policy(env, scale)
    with Evaluator(env_spec, 2) as evaluator:
        assert evaluator.stepper == "threads"
        played = evaluator.run(threads, seeds)
    returns, lengths = by_gymnasium(env_spec, seeds, loop)
    np.testing.assert_array_equal(played.lengths, lengths)
    np.testing.assert_array_equal(played.returns, returns)
    assert np.isnan(played.successes).all()
    for seed in seeds.ravel().tolist():
        np.testing.assert_array_equal(threads.seen[seed], loop.seen[seed])
