"""Adroit hands that hold still, with noise at several levels: u ~ Normal(0, noise), action = tanh(u).

An action of 0 is the middle of every joint's range. No trained policy is involved: the data show that the domain works, and curation
selects by chance. A method that solves the tasks needs D4RL's or Minari's data.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from envs.data.environments import find_spec
from envs.recorded.policy import squashed

ENVIRONMENTS = {
    "door": "AdroitHandDoor-v1",
    "hammer": "AdroitHandHammer-v1",
    "pen": "AdroitHandPen-v1",
    "relocate": "AdroitHandRelocate-v1",
}
NOISE = (2.0, 1.0, 0.5, 0.25, 0.1)  # standard deviation of u by level


def spec_of(env_id: str) -> Any:
    """Gymnasium-Robotics' spec. Raises DataError if it is not installed."""
    return find_spec(env_id)


class Controller:
    """The hand of one episode of `env`, with noise of level `level`."""

    def __init__(self, env: Any, level: int) -> None:
        self.log_std = np.full(env.action_space.shape, np.log(NOISE[level]))

    def act(self, observation: np.ndarray, rng: np.random.Generator | None) -> tuple[np.ndarray, float]:
        """One action [act] in (-1, 1) and its log-density there (as in `envs.recorded.policy`)."""
        return squashed(np.zeros(len(self.log_std)), self.log_std, rng)
