"""Observations, rewards and terminations of Gymnasium's locomotion tasks (v5) for N environments at once.

The formulas are those of gymnasium/envs/mujoco/{hopper,half_cheetah,walker2d,ant,swimmer}_v5.py, in the same order of operations, so that
results are equal to the bit. Constants are read from an instance of Gymnasium's class.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping
from typing import Any

import numpy as np

Arrays = Mapping[str, np.ndarray]


class Locomotion:
    """A task: forward velocity less the cost of control, in every environment; here HalfCheetah.

    env: an instance of Gymnasium's class. names: attributes of MjData that the task reads. contact_forces: it reads cfrc_ext, which
    mj_step leaves alone. skipped: leading columns of qpos that observations leave out.
    """

    names: tuple[str, ...] = ("qpos", "qvel")
    contact_forces = False
    hidden_positions = 1

    def __init__(self, env: Any) -> None:
        self.env, self.dt = env, env.dt
        self.skipped = self.hidden_positions if env._exclude_current_positions_from_observation else 0

    def position(self, arrays: Arrays) -> np.ndarray:
        """x positions [N] whose difference is the velocity; a copy."""
        return arrays["qpos"][:, 0].copy()

    def observe(self, arrays: Arrays, out: np.ndarray) -> None:
        """Write the observations into `out` [N, obs]."""
        positions = arrays["qpos"][:, self.skipped :]
        width = positions.shape[1]
        out[:, :width] = positions
        out[:, width:] = self.velocities(arrays)

    def velocities(self, arrays: Arrays) -> np.ndarray:
        """The observed velocities [N, nv]."""
        return arrays["qvel"]

    def rewards(self, before: np.ndarray, arrays: Arrays, actions: np.ndarray) -> np.ndarray:
        """Rewards [N] of a step from `position` `before` with `actions` [N, act] to `arrays`."""
        return self.forward(before, arrays) - self.control_cost(actions)

    def forward(self, before: np.ndarray, arrays: Arrays) -> np.ndarray:
        """Forward rewards [N]."""
        return self.env._forward_reward_weight * ((self.position(arrays) - before) / self.dt)

    def control_cost(self, actions: np.ndarray) -> np.ndarray:
        """Costs of control [N], in the type of `actions`."""
        return self.env._ctrl_cost_weight * np.sum(np.square(actions), axis=1)

    def terminated(self, arrays: Arrays) -> np.ndarray:
        """A mask [N]: the episode ends in this state."""
        return np.zeros(len(arrays["qpos"]), bool)


class Swimmer(Locomotion):
    hidden_positions = 2


class Healthy(Locomotion, ABC):
    """A task with a reward for a healthy state; an unhealthy one ends the episode unless `terminate_when_unhealthy=False`."""

    @abstractmethod
    def healthy(self, arrays: Arrays) -> np.ndarray:
        """A mask [N]: the state is healthy."""

    def rewards(self, before: np.ndarray, arrays: Arrays, actions: np.ndarray) -> np.ndarray:
        return self.forward(before, arrays) + self.healthy(arrays) * self.env._healthy_reward - self.costs(arrays, actions)

    def costs(self, arrays: Arrays, actions: np.ndarray) -> np.ndarray:
        """All costs [N] of a step."""
        return self.control_cost(actions)

    def terminated(self, arrays: Arrays) -> np.ndarray:
        return ~self.healthy(arrays) if self.env._terminate_when_unhealthy else super().terminated(arrays)


class Walker2d(Healthy):
    def velocities(self, arrays: Arrays) -> np.ndarray:
        return np.clip(arrays["qvel"], -10, 10)

    def healthy(self, arrays: Arrays) -> np.ndarray:
        z, angle = arrays["qpos"][:, 1], arrays["qpos"][:, 2]
        (low_z, high_z), (low_angle, high_angle) = self.env._healthy_z_range, self.env._healthy_angle_range
        return (low_z < z) & (z < high_z) & (low_angle < angle) & (angle < high_angle)


class Hopper(Walker2d):
    def healthy(self, arrays: Arrays) -> np.ndarray:
        low, high = self.env._healthy_state_range
        positions, velocities = arrays["qpos"][:, 2:], arrays["qvel"]
        inside = ((low < positions) & (positions < high)).all(1) & ((low < velocities) & (velocities < high)).all(1)
        return super().healthy(arrays) & inside


class Ant(Healthy):
    """The ant: the velocity is that of a body, and contact forces are observed and cost."""

    names = ("qpos", "qvel", "xpos", "cfrc_ext")
    contact_forces = True
    hidden_positions = 2

    def __init__(self, env: Any) -> None:
        super().__init__(env)
        self.column = 3 * env.data.body(env._main_body).id  # of the body's x in xpos

    def position(self, arrays: Arrays) -> np.ndarray:
        return arrays["xpos"][:, self.column].copy()

    def forces(self, arrays: Arrays) -> np.ndarray:
        """Clipped contact forces [N, 6 * bodies]."""
        return np.clip(arrays["cfrc_ext"], *self.env._contact_force_range)

    def observe(self, arrays: Arrays, out: np.ndarray) -> None:
        width = arrays["qpos"].shape[1] - self.skipped + arrays["qvel"].shape[1]
        super().observe(arrays, out[:, :width])
        if self.env._include_cfrc_ext_in_observation:
            out[:, width:] = self.forces(arrays)[:, 6:]  # without the world's

    def costs(self, arrays: Arrays, actions: np.ndarray) -> np.ndarray:
        return self.control_cost(actions) + self.env._contact_cost_weight * np.sum(np.square(self.forces(arrays)), axis=1)

    def healthy(self, arrays: Arrays) -> np.ndarray:
        z, (low, high) = arrays["qpos"][:, 2], self.env._healthy_z_range
        finite = np.isfinite(arrays["qpos"]).all(1) & np.isfinite(arrays["qvel"]).all(1)
        return finite & (low <= z) & (z <= high)
