"""Data sets from Python."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from envs.data.logged_data import LoggedData
from envs.readers import array_files, arrays
from envs.readers.load import load


def load_data(dataset: str) -> LoggedData:
    """Load data set `dataset` (any value of the key `dataset`), after recording, converting or downloading it where needed.

    The result's `trajectories` holds flat tensors of N steps in E episodes: observations [N, obs], actions [N, act] (scaled to the unit
    box), rewards [N], next_observations [N, obs], terminated and truncated [N], offsets [E + 1]. Raises DataError for an unknown id and
    for data that cannot be used.
    """
    return load(dataset)


def data_from_arrays(
    dataset: str,
    observations: Any,
    actions: Any,
    rewards: Any,
    terminations: Any,
    truncations: Any = None,
    env: Any = None,
    *,
    next_observations: Any = None,
    overwrite: bool = False,
    clip: bool = False,
) -> LoggedData:
    """Write arrays as the Minari data set `dataset`, so that `dataset=ID` trains on it, and load it.

    Arguments:
        observations: [N, obs]; [N + E, obs], with the one after each episode's last step; or a list of E arrays.
        actions: [N, act] in the environment's units, or [N] whole numbers for discrete actions.
        rewards, terminations, truncations: [N]; no truncations means none.
        env: the environment to evaluate in: an id such as "Hopper-v5", a Gymnasium spec or environment. Without it give env=ID, or
            env="none", when you train.
        next_observations: [N, obs], where observations do not have the one after each last step.
        overwrite: replace a data set of this id.
        clip: clip actions to the environment's bounds instead of refusing those outside.

    Raises DataError naming array, episode and step for arrays that do not fit together, or an id that is taken.
    """
    arrays.data_from_arrays(
        dataset, observations, actions, rewards, terminations, truncations, env,
        next_observations=next_observations, overwrite=overwrite, clip=clip,
    )  # fmt: skip
    return load(dataset)


def data_from_dict(dataset: str, steps: Mapping[str, Any], env: Any = None, *, overwrite: bool = False, clip: bool = False) -> LoggedData:
    """`data_from_arrays` from a dict, D4RL's included (observations, actions, rewards, terminals, timeouts, next_observations)."""
    arrays.data_from_dict(dataset, steps, env, overwrite=overwrite, clip=clip)
    return load(dataset)


def data_from_file(dataset: str, path: str | Path, env: Any = None, *, overwrite: bool = False, clip: bool = False) -> LoggedData:
    """`data_from_arrays` from a .npz file of these arrays, or a .csv file with a row per step (docs/data.md lists its columns)."""
    array_files.data_from_file(Path(path), dataset, env, overwrite=overwrite, clip=clip)
    return load(dataset)
