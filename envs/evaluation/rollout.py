"""Vectorised evaluation: many environments stepped together by one batched policy, in threads or in processes.

Every environment plays its own list of episodes, with seeds fixed in advance. The first N episodes to finish would be short ones.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from envs.cores import available_cores
from envs.data.environments import import_packages
from envs.data.trust import check_spec
from envs.evaluation.episodes import Act, Moments, Returns, Write, episode_seeds
from envs.evaluation.processes import Processes
from envs.evaluation.stepper import open_threads, with_limit
from envs.evaluation.threads import Threads
from envs.evaluation.tokens.episodes import TokenEpisodes, open_tokens

__all__ = ["Act", "Evaluator", "Moments", "Returns", "episode_seeds"]


class Evaluator:
    """Environments of one spec, which stay open between evaluations. A context manager; otherwise call `close`.

    stepper: "threads" of this process for environments of Gymnasium on MuJoCo, "batch" for token tasks, with equal results; "processes" for
    all others.
    between_episodes: False during `run`, and after one that raised; the environments cannot be used again then.
    """

    def __init__(self, env_spec: str, workers: int | None = None) -> None:
        """Open environments for `env_spec` (Gymnasium's JSON) with `workers` threads or processes, by default one per core.

        Episodes of an environment without a time limit end after `envs.data.horizon.LIMIT` steps. Raises DataError for an unusable spec.
        """
        check_spec("environment", env_spec)  # again: the spec may be of a changed cache
        import_packages(env_spec)
        env_spec, workers = with_limit(env_spec), workers or available_cores()
        self.between_episodes = True
        self._engine: TokenEpisodes | Threads | Processes = (
            open_tokens(env_spec) or open_threads(env_spec, workers) or Processes(env_spec, workers)
        )

    @property
    def stepper(self) -> str:
        return {TokenEpisodes: "batch", Threads: "threads", Processes: "processes"}[type(self._engine)]

    def run(self, act: Act, seeds: np.ndarray, on_step: Callable[[], None] = lambda: None, write: Write | None = None) -> Returns:
        """Play `seeds` [environments, episodes], row i in environment i, one after another.

        act: chooses the actions; rows of finished environments are ignored. on_step: called after each step. write: answers whole prompts
        of token tasks with the actions of `act`, faster. Raises DataError if an environment fails.
        """
        assert self.between_episodes, "an earlier run was interrupted: its answers are still on their way"
        self.between_episodes = False
        if isinstance(self._engine, TokenEpisodes):
            played = self._engine.run(act, seeds, on_step, write)
        else:
            played = self._engine.run(act, seeds, on_step)
        self.between_episodes = True
        return played

    def close(self) -> None:
        """Close the environments, in the middle of an episode if need be."""
        self._engine.close()

    def __enter__(self) -> Evaluator:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()
