"""A scripted arm for the Franka kitchen, with noise at several levels.

The arm moves its gripper through fixed points beside each object, far enough to push or pull the object to its goal, by the damped inverse
of its Jacobian (Nakamura & Hanafusa 1986). It reads the simulator's state, not the observation. The reward is 1 when one of four tasks is
completed, so the return is the number of completed tasks; the fourth ends the episode.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from envs.data.environments import find_spec
from envs.recorded.policy import GRID, squashed

ENVIRONMENT = "FrankaKitchen-v1"
# Standard deviation of u by level; the action is tanh(u).
NOISE = (2.0, 1.0, 0.5, 0.25, 0.1)
# For each task, in the order of the script: an object's site, and points relative to its place at the start (metres).
TASKS: dict[str, tuple[str, tuple[tuple[float, float, float], ...]]] = {
    "microwave": ("microhandle_site", ((0.1, -0.15, 0), (0.1, 0.02, 0), (-0.05, 0.03, 0), (-0.3, -0.3, 0), (-0.3, -0.5, 0))),
    "kettle": ("kettle_site", ((0, -0.25, -0.1), (0, -0.12, -0.12), (0, 0.4, -0.12), (0, 0.2, -0.12))),
    "light switch": ("light_site", ((0.15, -0.15, 0), (0.12, 0.04, 0), (-0.25, 0.04, 0), (-0.25, -0.16, 0))),
    "slide cabinet": ("slide_site", ((-0.15, -0.2, 0), (-0.12, 0, 0), (0.4, 0, 0), (0.4, -0.2, 0))),
}
ARM = 7  # joints that move the gripper; the fingers get only noise
GAIN, SPEED, DAMPING = 8.0, 1.0, 1e-3  # speed per distance (1/s), limit of the speed (m/s), damping of the Jacobian's inverse
NEAR, PATIENCE = 0.04, 25  # distance at which a point is reached (m), steps after which it is given up
UNIT = 2.0  # rad/s for an action of 1


def spec_of(env_id: str) -> Any:
    """Gymnasium-Robotics' spec with the four tasks of D4RL's data. Raises DataError if it is not installed."""
    spec = find_spec(env_id)
    spec.kwargs.update(tasks_to_complete=list(TASKS))
    return spec


class Controller:
    """The arm of one episode of `env`, just reset, with noise of level `level`."""

    def __init__(self, env: Any, level: int) -> None:
        self.model, self.data = env.unwrapped.model, env.unwrapped.data
        self.log_std = np.full(env.action_space.shape, np.log(NOISE[level]))
        self.gripper = self.model.site("end_effector").id
        starts = [(self.data.site_xpos[self.model.site(site).id].copy(), points) for site, points in TASKS.values()]
        self.points = [start + np.array(point) for start, points in starts for point in points]
        self.waited = 0

    def _velocity(self) -> np.ndarray:
        """Velocity [3] (m/s) towards the next point."""
        way = self.points[0] - self.data.site_xpos[self.gripper]
        self.waited += 1
        if len(self.points) > 1 and (np.linalg.norm(way) < NEAR or self.waited > PATIENCE):
            self.points.pop(0)
            self.waited = 0
        return np.clip(GAIN * way, -SPEED, SPEED)

    def act(self, observation: Any, rng: np.random.Generator | None) -> tuple[np.ndarray, float]:
        """One action [9] in (-1, 1) and its log-density there (as in `envs.recorded.policy`)."""
        import mujoco

        jacobian = np.zeros((3, self.model.nv))
        mujoco.mj_jacSite(self.model, self.data, jacobian, None, self.gripper)
        arm = jacobian[:, :ARM]
        joints = arm.T @ np.linalg.solve(arm @ arm.T + DAMPING * np.eye(3), self._velocity())
        target = np.zeros(len(self.log_std))
        target[:ARM] = np.rint(np.clip(joints / UNIT, -0.95, 0.95) * GRID) / GRID
        return squashed(np.arctanh(target), self.log_std, rng)
