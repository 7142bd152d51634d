"""A waypoint controller for point mazes, pulled to its way by several strengths.

It goes from the centre of a cell to the centre of the next on the shortest way to the goal (D4RL's maze2d and Minari's pointmaze data
come from such a controller). The reward is sparse: 1 when the goal is reached, which ends the episode. The return is then the success,
and so is any curation score that uses it: the setting of the theory of arXiv 2507.12856.
"""

from __future__ import annotations

from collections import deque
from typing import Any

import numpy as np

from envs.data.environments import find_spec
from envs.recorded.policy import squashed

# The action is tanh(u), u ~ Normal(pull * u of the controller, NOISE): without any pull a random walk. The "snapshots" of a recipe, the
# strongest one last. (Noise strong enough to lead astray would put most actions at the bounds instead.)
PULL = (0.0, 0.02, 0.05, 0.1, 0.4)
NOISE = 1.0
GAIN, DAMPING = 10.0, 1.0  # of the distance to the waypoint and of the velocity
ENVIRONMENTS = {"umaze": "PointMaze_UMaze-v3", "medium": "PointMaze_Medium-v3"}


def spec_of(env_id: str) -> Any:
    """Gymnasium-Robotics' spec with an episode that ends at its goal."""
    spec = find_spec(env_id)
    spec.kwargs.update(continuing_task=False)
    return spec


class Controller:
    """The controller of one episode of `env`, with pull number `strength`."""

    def __init__(self, env: Any, strength: int) -> None:
        self.maze, self.pull, self.log_std = env.unwrapped.maze, PULL[strength], np.full(2, np.log(NOISE))
        self.distances: dict[tuple[int, int], dict[tuple[int, int], int]] = {}

    def _distance(self, goal: tuple[int, int]) -> dict[tuple[int, int], int]:
        """Cells on the way to `goal`, by free cell."""
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

    def act(self, observation: dict[str, np.ndarray], rng: np.random.Generator) -> tuple[np.ndarray, float]:
        """One action [2] in (-1, 1) and its log-density there (as in `envs.recorded.policy`)."""
        position, velocity = observation["observation"][:2], observation["observation"][2:]
        wanted = GAIN * (self._waypoint(position, observation["desired_goal"]) - position) - DAMPING * velocity
        return squashed(self.pull * np.arctanh(np.clip(wanted, -0.95, 0.95)), self.log_std, rng)
