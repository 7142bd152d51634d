"""A fork: a point in the plane goes round an obstacle, left or right of it, to a goal. A task on which importance weights show an effect.

Imitation of demonstrators who go either way averages their actions, and the average runs into the obstacle; a method that settles for some
of them does not. No physics engine: an episode takes a millisecond.
"""

from __future__ import annotations

from typing import Any

import gymnasium
import numpy as np
from gymnasium.envs.registration import EnvSpec

STEPS = 40  # of an episode
STRIDE = 0.5  # distance of a step with an action of length 1
OBSTACLE, RADIUS = np.array([5.0, 0.0]), 2.0
GOAL, NEAR = np.array([10.0, 0.0]), 0.8
START = 0.3  # half the side of the square around (0, 0) in which episodes start
FIELD = 25.0  # no episode can leave [-FIELD, FIELD]^2


def spec_of(env_id: str) -> EnvSpec:
    """The environment's spec; `env_id` is iwsft/Fork-v0."""
    return EnvSpec(env_id, entry_point="envs.evaluation.fork:Fork", max_episode_steps=STEPS)


class Fork(gymnasium.Env[np.ndarray, np.ndarray]):
    """Observation: the position [2]. Action: the step [2] in [-1, 1], times STRIDE.

    The goal ends the episode with reward 1 + (share of the time left), the obstacle with 0; all other rewards are 0. Time counts to the
    point of the step at which the goal's circle is entered, so that few returns are equal.
    """

    def __init__(self) -> None:
        self.observation_space = gymnasium.spaces.Box(-FIELD, FIELD, (2,), np.float64)
        self.action_space = gymnasium.spaces.Box(-1.0, 1.0, (2,), np.float32)
        self.position, self.time = np.zeros(2), 0

    def reset(self, *, seed: int | None = None, options: dict[str, Any] | None = None) -> tuple[np.ndarray, dict[str, Any]]:
        super().reset(seed=seed)
        self.position, self.time = self.np_random.uniform(-START, START, 2), 0
        return self.position.copy(), {}

    def step(self, action: np.ndarray) -> tuple[np.ndarray, float, bool, bool, dict[str, Any]]:
        before = self.position
        self.position = before + STRIDE * np.clip(np.asarray(action, np.float64), -1, 1)
        self.time += 1
        hit = bool(np.linalg.norm(self.position - OBSTACLE) < RADIUS)
        arrived = not hit and bool(np.linalg.norm(self.position - GOAL) < NEAR)
        reward = 1 + (STEPS - self.time + 1 - _entered(before, self.position)) / STEPS if arrived else 0.0
        return self.position.copy(), reward, hit or arrived, False, {"success": arrived}


def _entered(before: np.ndarray, after: np.ndarray) -> float:
    """The share of the way from `before` to `after`, which is inside the goal's circle, at which that circle is entered."""
    way, offset = after - before, before - GOAL
    a, b, c = way @ way, offset @ way, offset @ offset - NEAR**2
    return float((-b - np.sqrt(max(b * b - a * c, 0.0))) / a) if c > 0 else 0.0
