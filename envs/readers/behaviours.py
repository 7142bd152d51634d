"""The behaviour policies that recorded the episodes of a data set, where it names them.

The built-in data sets do, in the metadata of their episodes: `snapshot` is the number of a policy, `noise` the factor of its action noise.
"""

from __future__ import annotations

from contextlib import ExitStack
from typing import NamedTuple

import numpy as np

from envs.data.env_choice import OWN, EnvChoice
from envs.data.minari_root import datasets_root
from envs.data.selection import parse
from envs.readers.join import open_dataset


class Behaviours(NamedTuple):
    """Number of the policy, from 0 on, and factor of its action noise, of every episode, [E] each."""

    policies: np.ndarray
    noise: np.ndarray


def behaviours(dataset: str, choice: EnvChoice = OWN) -> Behaviours | None:
    """The behaviours of the episodes of `dataset`, in the order of its `Trajectories`; None if an episode does not name its policy.

    The data set must be in Minari's root (`envs.readers.load` has read it). Data sets that are joined have policies of their own.
    """
    names: list[tuple[str, float]] = []
    noise: list[float] = []
    with ExitStack() as stack:
        for part in parse(dataset):
            opened = open_dataset(part.dataset, datasets_root() / part.dataset, stack, choice)
            episodes = part.select(*opened.files.returns()) if part.rules else opened.episodes
            for episode in episodes.tolist():
                snapshot, factor = (opened.files.attribute(episode, name) for name in ("snapshot", "noise"))
                if snapshot is None:
                    return None
                names.append((part.dataset, snapshot))
                noise.append(1.0 if factor is None else factor)
    numbers = {name: k for k, name in enumerate(dict.fromkeys(names))}
    return Behaviours(np.array([numbers[name] for name in names]), np.array(noise))
