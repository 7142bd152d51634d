"""A waypoint controller for point mazes, which pulls a random walk towards the goal at several levels.

The controller goes from cell centre to cell centre on the shortest way to the goal, as do the controllers of D4RL's maze2d and Minari's
pointmaze data.
The reward is 1 when the goal is reached, which ends the episode. The return is then success, 0 or 1: the setting of the theory of
arXiv 2507.12856.
"""

from __future__ import annotations

from collections import deque
from typing import Any

import numpy as np

from envs.data.environments import find_spec
from envs.recorded.policy import squashed

# By level: the action is tanh(u), u ~ Normal(pull * u of the controller, NOISE). A pull of 0 is a random walk. Pull varies
# instead of noise, because strong noise would put most actions at the bounds.
PULL = (0.0, 0.02, 0.05, 0.1, 0.4)
NOISE = 1.0
GAIN, DAMPING = 10.0, 1.0  # factors of the distance to the waypoint and of the velocity
ENVIRONMENTS = {"umaze": "PointMaze_UMaze-v3", "medium": "PointMaze_Medium-v3"}


def spec_of(env_id: str) -> Any:
    """Gymnasium-Robotics' spec with episodes that end at the goal. Raises DataError if it is not installed."""
    spec = find_spec(env_id)
    spec.kwargs.update(continuing_task=False)
    return spec


class Controller:
    """The controller of one episode of `env`, with pull of level `level`."""

    def __init__(self, env: Any, level: int) -> None:
        self.maze, self.pull, self.log_std = env.unwrapped.maze, PULL[level], np.full(2, np.log(NOISE))
        self.distances: dict[tuple[int, int], dict[tuple[int, int], int]] = {}

    def _distance(self, goal: tuple[int, int]) -> dict[tuple[int, int], int]:
        """Number of cells from each free cell to `goal`."""
        if goal not in self.distances:
            found, queue = {goal: 0}, deque([goal])
            while queue:
                cell = queue.popleft()
                for near in self._near(cell):
                    if near not in found:
                        found[near] = found[cell] + 1
                        queue.append(near)
            self.distances[goal] = found
        return self.distances[goal]

    def _cell(self, position: np.ndarray) -> tuple[int, int]:
        row, column = self.maze.cell_xy_to_rowcol(position)
        return int(row), int(column)

    def _near(self, cell: tuple[int, int]) -> list[tuple[int, int]]:
        grid = self.maze.maze_map
        around = [(cell[0] + i, cell[1] + j) for i, j in ((0, 1), (1, 0), (0, -1), (-1, 0))]
        return [(i, j) for i, j in around if 0 <= i < len(grid) and 0 <= j < len(grid[0]) and grid[i][j] != 1]

    def _waypoint(self, position: np.ndarray, goal: np.ndarray) -> np.ndarray:
        cell, last = self._cell(position), self._cell(goal)
        distance = self._distance(last)
        if cell == last or cell not in distance:
            return goal
        nearest = min(self._near(cell), key=lambda near: distance[near])
        return goal if nearest == last else self.maze.cell_rowcol_to_xy(np.array(nearest))

    def act(self, observation: dict[str, np.ndarray], rng: np.random.Generator | None) -> tuple[np.ndarray, float]:
        """One action [2] in (-1, 1) and its log-density there (as in `envs.recorded.policy`)."""
        position, velocity = observation["observation"][:2], observation["observation"][2:]
        target = GAIN * (self._waypoint(position, observation["desired_goal"]) - position) - DAMPING * velocity
        return squashed(self.pull * np.arctanh(np.clip(target, -0.95, 0.95)), self.log_std, rng)
