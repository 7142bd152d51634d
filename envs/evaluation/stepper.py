"""The choice between threads and processes for an environment."""

from __future__ import annotations

from collections.abc import Callable
from functools import lru_cache, partial
from typing import Any

import numpy as np
from gymnasium.envs.registration import EnvSpec

from envs.cores import available_cores
from envs.data.environments import make
from envs.data.horizon import LIMIT, limit_of, limited
from envs.errors import DataError
from envs.evaluation.batch import Batch, Formulas, OneByOne
from envs.evaluation.episodes import Moments
from envs.evaluation.known import known_task, made_as_known, steps_by_itself
from envs.evaluation.locomotion import Locomotion
from envs.evaluation.threads import Threads, reported
from envs.evaluation.tokens.episodes import open_tokens

FEW = 4  # threads; more would wait for each other in an environment's own Python code
CHECKED = 4  # steps of the check
SEEDS = np.array([[1, 2], [3, 4]])  # of its episodes


def with_limit(env_spec: str) -> str:
    """`env_spec` (Gymnasium's JSON), with time limit LIMIT if it has none."""
    spec = EnvSpec.from_json(env_spec)
    return limited(spec, LIMIT).to_json() if limit_of(spec) is None else env_spec


def stepper_of(env_spec: str, size: int | None = None) -> str:
    """The stepper of environment `env_spec` (Gymnasium's JSON) with `size` threads or processes, by default one per core."""
    if open_tokens(spec := with_limit(env_spec)) is not None:
        return "batch"
    return "processes" if _batches(spec, size or available_cores()) is None else "threads"


def open_threads(env_spec: str, size: int) -> Threads | None:
    """Environments of `env_spec`, which has a limit of steps, stepped by `size` threads; None if processes are to step them."""
    return None if (batches := _batches(env_spec, size)) is None else Threads(batches, size)


def _batches(env_spec: str, size: int) -> Callable[[int], Batch] | None:
    """A function that opens a number of environments for threads; None if processes are to step them."""
    if (task := task_of(env_spec)) is not None:
        return lambda count: Formulas(make(env_spec), task, count)
    return partial(OneByOne, env_spec) if size <= FEW and steps_by_itself(EnvSpec.from_json(env_spec)) else None


@lru_cache
def task_of(env_spec: str) -> type[Locomotion] | None:
    """The formulas of `env_spec`, which has a limit of steps; None if they are not known or not equal to Gymnasium's here."""
    spec = EnvSpec.from_json(env_spec)
    if (task := known_task(spec)) is None:
        return None
    env = make(limited(spec, CHECKED).to_json())
    try:
        return task if made_as_known(env) and _agrees(env, task) else None
    except DataError:  # processes report it, if they have it as well
        return None
    finally:
        env.close()


def _agrees(env: Any, task: type[Locomotion]) -> bool:
    """True if short episodes in threads have the observations, returns and lengths of `env` stepped by Gymnasium, to the bit."""
    seen: dict[tuple[int, int], np.ndarray] = {}
    columns = np.arange(env.action_space.shape[0])

    def act(observations: np.ndarray, moments: Moments) -> np.ndarray:
        for seed, step, observation in zip(*moments, observations.copy(), strict=True):
            seen.setdefault((int(seed), int(step)), observation)  # rows of finished environments come again
        angles = np.add.outer(7 * moments.seeds + 3 * moments.steps, columns)
        return (np.sin(angles) * env.action_space.high).astype(np.float32)

    played = Threads(partial(Formulas, env, task), 1).run(act, SEEDS, lambda: None)
    with reported():
        for index, seed in np.ndenumerate(SEEDS):
            observation, total, step, ended = env.reset(seed=int(seed))[0], 0.0, 0, False
            while not ended:
                if not np.array_equal(seen.get((int(seed), step), ()), observation.astype(np.float32)):
                    return False
                action = act(observation[None], Moments(np.array([seed]), np.array([step])))[0]
                observation, reward, terminated, truncated, _ = env.step(action)
                total, step, ended = total + float(reward), step + 1, terminated or truncated
            if (total, step) != (played.returns[index], played.lengths[index]):
                return False
    return True
