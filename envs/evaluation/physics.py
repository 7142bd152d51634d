"""The physics of many equal MuJoCo environments, in threads of this process: MuJoCo's binding lets go of the interpreter lock.

Gymnasium makes one environment, which resets each simulation in turn; the simulations share its model. A step of a simulation is
`MujocoEnv.do_simulation` without the shape check, and without the contact forces where nothing reads them.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any, NamedTuple

import numpy as np

from envs.evaluation.crew import Crew


class Simulation(NamedTuple):
    """A simulation, its controls [act], and (row of an array of `Physics`, MuJoCo's array) for each array."""

    data: Any
    ctrl: np.ndarray
    copied: tuple[tuple[np.ndarray, np.ndarray], ...]


class Physics:
    """`count` simulations of the model of `env`, an environment that `gymnasium.make` made.

    arrays: MuJoCo's arrays by name, each [count, size] float64: a row holds the array after the simulation's last step or reset.
    """

    def __init__(self, env: Any, count: int, names: Sequence[str], contact_forces: bool) -> None:
        """names: attributes of MjData to copy. contact_forces: compute cfrc_ext after each step."""
        self.env, self.base, self.contact_forces = env, env.unwrapped, contact_forces
        self.controls = np.zeros((count, self.base.model.nu))
        self.arrays = {name: np.zeros((count, getattr(self.base.data, name).size)) for name in names}
        self.simulations = [self._simulation(i) for i in range(count)]

    def _simulation(self, i: int) -> Simulation:
        from mujoco import MjData  # reads MUJOCO_GL when it is imported, which films set

        data = MjData(self.base.model)
        copied = ((rows[i], getattr(data, name).reshape(-1)) for name, rows in self.arrays.items())
        return Simulation(data, data.ctrl, tuple(copied))

    def reset(self, i: int, seed: int) -> np.ndarray:
        """Begin an episode in simulation `i` as Gymnasium does; its first observation."""
        simulation = self.simulations[i]
        self.base.data = simulation.data
        observation = self.env.reset(seed=seed)[0]
        for row, array in simulation.copied:
            row[:] = array
        return observation

    def step(self, crew: Crew, running: Sequence[int], actions: np.ndarray) -> None:
        """Step the simulations `running` with their rows of `actions` [count, act]."""
        if actions.shape != self.controls.shape:
            raise ValueError(f"actions have shape {actions.shape[1:]}: expected {self.controls.shape[1:]}")
        self.controls[:] = actions
        crew.do(self._step, running)

    def _step(self, pieces: Iterator[int]) -> None:
        from mujoco import mj_rnePostConstraint, mj_step

        model, frames, forces = self.base.model, self.base.frame_skip, self.contact_forces
        simulations, controls = self.simulations, self.controls
        for i in pieces:
            data, ctrl, copied = simulations[i]
            ctrl[:] = controls[i]
            mj_step(model, data, frames)
            if forces:
                mj_rnePostConstraint(model, data)
            for row, array in copied:
                row[:] = array
