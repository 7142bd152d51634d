"""Minari data sets, read through Minari's public interface, built-in ones no differently from any other.

A Minari episode has T + 1 observations and T of everything else; row t of observations belongs to action t within the episode only.
"""

from __future__ import annotations

import difflib
import json
import re
from pathlib import Path
from typing import Any

import numpy as np
import torch

from envs.behaviour.record import datasets_root, recipes, record
from envs.errors import DataError
from envs.logged_data import LoggedData
from envs.references import Reference
from envs.trajectories import Trajectories

ID = re.compile(r"[\w-]+(/[\w-]+)*-v\d+")


def ensure(dataset: str) -> None:
    """Make sure that `dataset` is in Minari's root: found there, recorded if it is built in, else downloaded.

    Raises DataError, with near names, for an id that is none of these.
    """
    if not ID.fullmatch(dataset):
        raise DataError(f"dataset '{dataset}' is not a Minari id; expected namespace/name/variant-v0, such as iwsft/hopper/medium-v0")
    root = datasets_root()
    if (root / dataset / "data").exists():
        return
    if dataset in recipes():
        record(dataset)
        return
    near = _near(dataset, root)
    if dataset.startswith("iwsft/"):
        raise DataError(f"no data set '{dataset}'{near}")
    import minari

    try:
        minari.download_dataset(dataset)
    except Exception as error:  # whatever the network, the host or Minari makes of it: the user's remedy is the same
        reason = str(error).strip().splitlines()[-1][:120] if str(error).strip() else type(error).__name__
        raise DataError(
            f"data set '{dataset}' is not in {root} and cannot be downloaded ({reason}){near}; "
            f"where there is a network, run: minari download {dataset}"
        ) from error


def _near(dataset: str, root: Path) -> str:
    """A hint at ids that look like `dataset`."""
    local = {str(p.parent.parent.relative_to(root)) for p in root.glob("**/data/metadata.json")}
    close = difflib.get_close_matches(dataset, sorted(local | set(recipes())), 3, 0.5)
    return f"; near names: {', '.join(close)}" if close else ""


def load(dataset: str) -> LoggedData:
    """Read data set `dataset` (recorded or downloaded first where needed).

    Raises DataError for data that cannot be used: unknown id, an environment that does not fit, spaces that are not boxes, non-finite
    numbers, arrays that do not line up.
    """
    import gymnasium
    import minari

    ensure(dataset)
    try:
        data = minari.load_dataset(dataset)
        metadata = data.storage.metadata
        episodes = [(e.observations, e.actions, e.rewards, e.terminations, e.truncations) for e in data.iterate_episodes()]
    except (OSError, KeyError, ValueError, AssertionError, json.JSONDecodeError, gymnasium.error.Error) as error:
        where = datasets_root() / dataset
        raise DataError(f"{dataset}: cannot be read ({error}); remove {where} and record or download it again") from error
    box = gymnasium.spaces.Box
    for name, space in (("observations", data.observation_space), ("actions", data.action_space)):
        if not (isinstance(space, box) and len(space.shape) == 1):
            raise DataError(f"{dataset}: {name} have space {space}; expected a box of rank 1")
    trajectories = Trajectories.from_episodes(episodes, dataset)
    low, high, spec = _environment(dataset, data, trajectories)
    scaled, clipped = _unit_actions(trajectories, low, high)
    return LoggedData(dataset, scaled, low, high, spec, _reference(metadata), clipped)


def _environment(dataset: str, data: Any, trajectories: Trajectories) -> tuple[np.ndarray, np.ndarray, str]:
    """The action bounds and the spec (JSON) of the environment to evaluate in, after a check that its spaces fit the data."""
    try:
        env = data.recover_environment(eval_env=True, disable_env_checker=True)
    except Exception as error:  # an environment's constructor can raise anything
        raise DataError(
            f"{dataset}: its environment cannot be made ({str(error).splitlines()[0]}); see env_spec in metadata.json"
        ) from error
    try:
        for name, space, array in (
            ("observations", env.observation_space, trajectories.observations),
            ("actions", env.action_space, trajectories.actions),
        ):
            if space.shape != array.shape[1:]:
                raise DataError(f"{dataset}: {name} are {array.shape[1]} wide; environment {env.spec.id} has {space}")
        low, high = (np.asarray(b, np.float32) for b in (env.action_space.low, env.action_space.high))
        if not (np.isfinite(low) & np.isfinite(high)).all():
            raise DataError(f"{dataset}: environment {env.spec.id} has no finite action bounds")
        return low, high, env.spec.to_json()
    finally:
        env.close()


def _unit_actions(data: Trajectories, low: np.ndarray, high: np.ndarray) -> tuple[Trajectories, float]:
    """`data` with actions scaled to [-1, 1] and clipped, and the share of entries that were outside."""
    middle, half = torch.from_numpy((high + low) / 2), torch.from_numpy((high - low) / 2)
    unit = (data.actions - middle) / half
    outside = float((unit.abs() > 1).float().mean())
    fields = dict(vars(data)) | {"actions": unit.clamp(-1, 1)}
    return Trajectories(**{k: fields[k] for k in Trajectories.__dataclass_fields__}), outside


def _reference(metadata: dict) -> Reference | None:
    """The data set's own reference scores, if it has any."""
    if metadata.get("ref_min_score") is None or metadata.get("ref_max_score") is None:
        return None
    return Reference(str(metadata.get("reference", "minari")), float(metadata["ref_min_score"]), float(metadata["ref_max_score"]))
