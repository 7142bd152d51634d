"""The log-densities of logged actions under the policy that recorded them, where a data set states them.

They are infos/log_prob of the episodes of an HDF5 data set, a number a step: the log-density of the action in the unit box, as the built-in
data sets record it, or the log-probability of a discrete action. They are read on demand: training does not use them.
"""

from __future__ import annotations

from contextlib import ExitStack

import numpy as np
import torch
from torch import Tensor

from envs.data.env_choice import OWN, EnvChoice
from envs.data.minari_root import datasets_root
from envs.data.selection import parse
from envs.readers.join import open_dataset

INFO = "log_prob"


def log_densities(dataset: str, choice: EnvChoice = OWN) -> Tensor:
    """log b(a | s) [N] in double precision of the steps of `dataset`, in the order of its `Trajectories`.

    The data set must be in Minari's root (`envs.readers.load` has read it). Raises DataError, naming the episode, where it states none.
    """
    found = []
    with ExitStack() as stack:
        for part in parse(dataset):
            opened = open_dataset(part.dataset, datasets_root() / part.dataset, stack, choice)
            episodes = part.select(*opened.files.returns()) if part.rules else opened.episodes
            found += [opened.files.info(episode, INFO) for episode in episodes.tolist()]
    return torch.from_numpy(np.concatenate(found).astype(np.float64))
