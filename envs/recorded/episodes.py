"""Episodes of behaviour policies, run on all cores, for the built-in data and their reference scores."""

from __future__ import annotations

import multiprocessing
from collections import deque
from collections.abc import Generator, Iterable, Sequence
from concurrent.futures import ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from functools import lru_cache
from itertools import islice
from typing import Any, NamedTuple

import numpy as np

from envs.cores import available_cores
from envs.errors import DataError
from envs.processes import serve_parent, signals_blocked
from envs.recorded import fork, hands, kitchen, pointmaze
from envs.recorded.policy import BehaviourPolicy, load_snapshot

RANDOM = -1  # in place of a snapshot number: actions uniform in the environment's bounds
SEED = 0  # of every built-in data set
# Scripted behaviours by the beginning of environment ids.
SCRIPTED: dict[str, Any] = {
    "PointMaze": pointmaze,
    "FrankaKitchen": kitchen,
    "AdroitHand": hands,
    "iwsft/Fork": fork,
}  # by the beginning of environment ids


class Job(NamedTuple):
    """Episode number `episode` of snapshot `snapshot` of behaviour `name` in environment `env_id`.

    mean: without action noise. noise: factor of the standard deviation of u, for snapshots of trained policies.
    """

    name: str
    env_id: str
    snapshot: int
    episode: int
    mean: bool = False
    noise: float = 1.0


class Episode(NamedTuple):
    """An episode: observations [T + 1, obs] float64 (or a dict), actions [T, act] float32, rewards, log_prob [T] float64, flags [T]."""

    job: Job
    seed: int
    observations: Any
    actions: np.ndarray
    rewards: np.ndarray
    terminated: np.ndarray
    truncated: np.ndarray
    log_prob: np.ndarray


@lru_cache(maxsize=1)
def _env(env_id: str) -> Any:
    import gymnasium

    return gymnasium.make(spec_of(env_id), disable_env_checker=True)


def spec_of(env_id: str) -> Any:
    """Gymnasium's spec of an environment of the built-in data. Raises DataError if its package is not installed."""
    for start, module in SCRIPTED.items():
        if env_id.startswith(start):
            return module.spec_of(env_id)
    import gymnasium

    return gymnasium.spec(env_id)


@lru_cache(maxsize=64)
def _policy(name: str, snapshot: int) -> BehaviourPolicy:
    return load_snapshot(name, snapshot)


def _controller(job: Job, env: Any) -> Any:
    """The policy of `job`, an object with BehaviourPolicy's `act`; the environment was just reset."""
    for start, module in SCRIPTED.items():
        if job.env_id.startswith(start):
            return module.Controller(env, job.snapshot)
    return _policy(job.name, job.snapshot).with_noise(job.noise)


def seeds_of(job: Job) -> tuple[int, np.random.Generator]:
    """The environment's seed and the random stream of action noise of an episode; both depend on `job` alone."""
    key = (SEED, *job.env_id.encode(), job.snapshot - RANDOM, job.episode)
    env_seed, noise_seed = np.random.SeedSequence(key).generate_state(2)
    return int(env_seed), np.random.Generator(np.random.PCG64(int(noise_seed)))


def run_episode(job: Job) -> Episode:
    """Run one episode to its end."""
    env, (seed, rng) = _env(job.env_id), seeds_of(job)
    observation, _ = env.reset(seed=seed)
    low, high = env.action_space.low, env.action_space.high
    observations, actions, rewards, flags, log_probs = [observation], [], [], [], []
    policy = None if job.snapshot == RANDOM else _controller(job, env)
    ended = False
    while not ended:
        if policy is None:
            unit, log_prob = rng.uniform(-1, 1, low.shape), -low.size * np.log(2)
        else:
            unit, log_prob = policy.act(observation, None if job.mean else rng)
        action = ((high + low) / 2 + (high - low) / 2 * unit).astype(np.float32)
        observation, reward, terminated, truncated, _ = env.step(action)
        observations.append(observation)
        actions.append(action)
        rewards.append(reward)
        flags.append((terminated, truncated))
        log_probs.append(log_prob)
        ended = terminated or truncated
    ends = np.asarray(flags, bool)
    columns = map(np.asarray, (actions, rewards, ends[:, 0], ends[:, 1], log_probs))
    return Episode(job, seed, _joined(observations), *columns)


def _joined(rows: Sequence[Any]) -> Any:
    """Observations, or dicts of observations, as arrays [T + 1, ...]."""
    return {k: _joined([row[k] for row in rows]) for k in rows[0]} if isinstance(rows[0], dict) else np.asarray(rows)


def run_episodes(jobs: Iterable[Job], workers: int | None = None) -> Generator[Episode]:
    """The episodes of `jobs` (possibly endless), in order, on `workers` processes (by default one per core).

    Close the generator to end the processes: at once, but for episodes that are being played.
    """
    workers = workers or available_cores()
    if workers == 1:
        yield from map(run_episode, jobs)
        return
    jobs = iter(jobs)
    pool = ProcessPoolExecutor(workers, multiprocessing.get_context("spawn"), serve_parent)
    try:
        with signals_blocked():
            started = deque(pool.submit(run_episode, job) for job in islice(jobs, 4 * workers))
        while started:
            episode = started.popleft().result()
            started.extend(pool.submit(run_episode, job) for job in islice(jobs, 1))
            yield episode
    except BrokenProcessPool:
        raise DataError("a process that plays episodes ended unexpectedly (out of memory?)") from None
    finally:
        pool.shutdown(cancel_futures=True)
