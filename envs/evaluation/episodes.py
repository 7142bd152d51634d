"""Episodes of an evaluation: their seeds, what a policy is called with, and what comes out."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import NamedTuple

import numpy as np


class Returns(NamedTuple):
    """Raw undiscounted return (float64), length (int64) and success of every episode, each [environments, episodes].

    successes: 1 for an episode with a success at any step, 0 for one without, NaN where the environment reports no success (float64).
    """

    returns: np.ndarray
    lengths: np.ndarray
    successes: np.ndarray

    def transposed(self) -> Returns:
        """The same with the axes exchanged."""
        return Returns(*(array.T for array in self))


class Moments(NamedTuple):
    """Seed and step number of the running episode of every environment, each [environments] int64; the first step is number 0.

    A random number that is a function of both does not depend on how episodes are divided among environments.
    """

    seeds: np.ndarray
    steps: np.ndarray


Act = Callable[[np.ndarray, Moments], np.ndarray]
"""Maps observations [environments, obs] float32 and their moments to actions [environments, act] in the environment's units."""


Write = Callable[[np.ndarray, np.ndarray, np.ndarray, int], np.ndarray]
"""Maps prompts [N, context], their lengths [N], the seeds [N] of their episodes, and the token that ends an answer to prompts with whole
answers [N, context]. Rows are in the order of environments, the episodes of one together."""


def episode_seeds(seeds: Sequence[int], update: int, episodes: int) -> np.ndarray:
    """Environment seeds [len(seeds), episodes] for the evaluation of members `seeds` after `update` updates.

    An environment seed depends on the member's seed, the update and the episode alone: all methods start from the same states, and two
    evaluations of one member start from different ones.
    """
    evaluation_stream = 0xE7A1
    return np.array(
        [[np.random.SeedSequence([seed, evaluation_stream, update, e]).generate_state(1)[0] for e in range(episodes)] for seed in seeds],
        dtype=np.int64,
    )
