"""The ant of D4RL's data: contact forces are 0 in observations and cost nothing.

D4RL recorded Ant-v2 with MuJoCo 2.0 through mujoco-py, which left the simulator's contact forces (cfrc_ext) at 0: columns 27 to 110 of its
files are 0. A policy trained on them has never seen the forces that Ant-v4 reports.
"""

from __future__ import annotations

import numpy as np
from gymnasium.envs.mujoco.ant_v4 import AntEnv


class ContactFreeAnt(AntEnv):
    """Ant-v4 whose contact forces [bodies, 6] are 0."""

    @property
    def contact_forces(self) -> np.ndarray:
        return np.zeros_like(self.data.cfrc_ext)
