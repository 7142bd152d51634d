"""Demonstrators of the fork (envs/evaluation/fork.py): half go left, half right, each with its own detour, speed and action noise."""

from __future__ import annotations

from typing import Any

import numpy as np

from envs.evaluation.fork import GOAL, OBSTACLE, spec_of
from envs.recorded.policy import squashed

__all__ = ["ENVIRONMENT", "LEVELS", "Controller", "spec_of"]

ENVIRONMENT = "iwsft/Fork-v0"
LEVELS = 100  # demonstrators
HEIGHTS, SPEEDS, NOISES = (2.3, 3.5), (0.5, 1.0), (0.05, 0.6)  # detour beside the obstacle, length of an action, standard deviation of u


def traits(level: int) -> tuple[int, float, float, float]:
    """Side (-1 or 1), detour, speed and noise of demonstrator `level`."""
    rng = np.random.Generator(np.random.PCG64(np.random.SeedSequence((0xF02C, level))))
    return 1 if rng.uniform() < 0.5 else -1, rng.uniform(*HEIGHTS), rng.uniform(*SPEEDS), rng.uniform(*NOISES)


class Controller:
    """Demonstrator `level`: walks to a waypoint beside the obstacle, then to the goal."""

    def __init__(self, env: Any, level: int) -> None:
        side, height, self.speed, noise = traits(level)
        self.waypoint, self.log_std = OBSTACLE + np.array([0.2, side * height]), np.full(2, np.log(noise))

    def act(self, observation: np.ndarray, rng: np.random.Generator | None) -> tuple[np.ndarray, float]:
        """One action [2] in (-1, 1) and its log-density there (as in `envs.recorded.policy`)."""
        way = (self.waypoint if observation[0] < OBSTACLE[0] else GOAL) - observation
        action = self.speed * way / (np.linalg.norm(way) + 1e-6)
        return squashed(np.arctanh(np.clip(action, -0.95, 0.95)), self.log_std, rng)
