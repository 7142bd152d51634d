"""A reference for data sets without one: score 0 is a measured random policy, 100 the mean of the data's best episodes.

It is reference set `measured`, which tables keep apart from published references: its 100 is not an expert's return, and differs between
data sets of one environment.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
from importlib.metadata import PackageNotFoundError, version

import numpy as np

from envs.data.logged_data import LoggedData
from envs.data.minari_root import datasets_root
from envs.data.references import Reference, apart
from envs.errors import DataError
from envs.evaluation.rollout import Evaluator, Moments
from envs.files import write_json
from envs.untrusted import read_json

EPISODES = 100  # of the random policy
ENVIRONMENTS = 20  # that play them side by side
BEST = 0.05  # share of the data's episodes, by return, whose mean is 100
SEED = 0x5EED  # of the random policy and its episodes


def measured_reference(data: LoggedData, environments: Evaluator) -> Reference | None:
    """The reference of `data`; None if its best episodes are no better than random.

    environments: an evaluator of data.env_spec. The random policy is measured once and kept in Minari's root. Raises DataError if an
    environment fails.
    """
    random = _random_returns(data, environments)
    returns = np.sort(data.trajectories.returns.numpy())
    best = float(returns[-max(1, round(BEST * len(returns))) :].mean())
    mean, error = float(random.mean()), float(random.std(ddof=1) / len(random) ** 0.5)
    # The best episodes define score 100: their mean is no estimate.
    return Reference("measured", mean, best, error, 0.0) if apart(mean, best) else None


def _random_returns(data: LoggedData, environments: Evaluator) -> np.ndarray:
    """Raw returns [EPISODES] of the random policy, from the cache in Minari's root if they are there."""
    packages = {p: _version(p) for p in ("gymnasium", "gymnasium-robotics", "mujoco")}
    key = hashlib.sha256(json.dumps([data.env_spec, data.units.to_json(), packages, EPISODES, SEED]).encode()).hexdigest()[:32]
    path = datasets_root() / ".cache" / "random" / f"{key}.json"
    try:
        found = np.asarray(read_json(path.parent, path.name)["returns"], np.float64)
        if found.shape == (EPISODES,) and np.isfinite(found).all():
            return found
    except (OSError, DataError, ValueError, KeyError, TypeError):
        pass
    returns = random_returns(data, environments)
    with contextlib.suppress(OSError):  # a root that cannot be written: measured again next time
        write_json(path, {"returns": returns.tolist(), "env_spec": data.env_spec})
    return returns


def _version(package: str) -> str | None:
    try:
        return version(package)
    except PackageNotFoundError:
        return None


def random_returns(data: LoggedData, environments: Evaluator) -> np.ndarray:
    """Raw returns [EPISODES] of the random policy, whose actions are uniform within the bounds."""
    rng = np.random.Generator(np.random.PCG64(SEED))

    def act(observations: np.ndarray, _: Moments) -> np.ndarray:
        return data.units.random(rng, len(observations))

    return environments.run(act, np.arange(SEED, SEED + EPISODES).reshape(ENVIRONMENTS, -1)).returns.ravel()
