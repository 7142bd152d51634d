"""Policies of finished runs, in the environment's units."""

from __future__ import annotations

from functools import cached_property
from os import PathLike
from pathlib import Path
from typing import Any

import numpy as np
import torch
from gymnasium import Env
from gymnasium.spaces import Box, Discrete, Space

from bench.api.export import export
from bench.errors import RunError
from bench.replay.load import LoadedRun, load_run
from envs.data.spaces import flatten


class Policy:
    """The policy of one seed of a finished run: call it with an observation, or with a batch of them, for its mean actions."""

    def __init__(self, loaded: LoadedRun, seed: int) -> None:
        self.run, self.seed, self.environment = loaded, seed, loaded.environment
        self.algo = loaded.population([seed])

    def __call__(self, observation: Any) -> np.ndarray:
        """Mean actions in the environment's units: [act] for one observation, [B, act] for B; discrete ones as whole numbers.

        `observation` is as the environment gives it (an array, a number, a dict or tuple of them) or flat rows [obs] or [B, obs].
        Raises RunError or DataError for another shape.
        """
        rows, batched = self._rows(observation)
        actions = self.environment.to_env(self.algo.act(torch.from_numpy(rows).unsqueeze(0))[0].numpy())
        return actions if batched else actions[0]

    def make_env(self, **options: Any) -> Env:
        """The environment that the run was evaluated in; `options` go to gymnasium.make, such as render_mode="human"."""
        return self.run.make_env(**options)

    def export(self, path: str | PathLike[str]) -> Path:
        """Write the policy to `path`: ONNX (.onnx, needs the extra `onnx`) or TorchScript (.pt).

        The file maps float32 rows [B, obs] of flat observations to actions [B, act] in the environment's units; normalisation is inside.
        Raises RunError for another suffix, or where the package onnx is missing.
        """
        return export(self.algo, self.environment, Path(path))

    @cached_property
    def observation_space(self) -> Space:
        """The environment's observation space."""
        with self.make_env() as env:
            return env.observation_space

    def _rows(self, observation: Any) -> tuple[np.ndarray, bool]:
        """Flat float32 rows [B, obs], and whether `observation` was a batch."""
        width = self.environment.observation_width
        if isinstance(observation, np.ndarray | list | torch.Tensor):
            array = np.asarray(observation)
            if array.dtype.kind in "iu" and isinstance(self.observation_space, Discrete):  # B numbers, not one flat row
                return flatten(self.observation_space, array)
            array = array.astype(np.float32)
            if array.ndim in (1, 2) and array.shape[-1] == width:
                return np.atleast_2d(array), array.ndim == 2
            if isinstance(self.observation_space, Box) and len(self.observation_space.shape) == 1:
                raise RunError(f"an observation of shape {array.shape}: expected ({width},) or (B, {width})")
        return flatten(self.observation_space, observation)

    def __repr__(self) -> str:
        return f"Policy({self.run.config.algo.name} on {self.environment.dataset}, seed {self.seed})"


def load_policy(run: str | PathLike[str], seed: int | None = None) -> Policy:
    """The policy of `seed` (the run's first by default) of `run`, a finished run or its directory.

    Raises RunError for a run that is not finished or damaged, or a seed that it does not have.
    """
    loaded = load_run(Path(run))
    return Policy(loaded, loaded.config.seeds[0] if seed is None else seed)
