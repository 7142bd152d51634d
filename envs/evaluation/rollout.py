"""Vectorised evaluation: many environments in a few processes, stepped together by one batched policy.

Every environment plays its own list of episodes, with seeds fixed in advance. The first N episodes to finish would be short ones.
"""

from __future__ import annotations

import multiprocessing
import signal
import time
from collections.abc import Callable, Sequence
from functools import partial
from multiprocessing.connection import Connection
from multiprocessing.process import BaseProcess
from multiprocessing.util import Finalize
from typing import Any, NamedTuple

import numpy as np
from gymnasium.envs.registration import EnvSpec

from envs.cores import available_cores
from envs.data.environments import import_packages
from envs.data.horizon import LIMIT, limit_of, limited
from envs.data.trust import check_spec
from envs.errors import DataError
from envs.evaluation.worker import work
from envs.processes import signals_blocked

PATIENCE = 5.0  # seconds for processes to end


class Returns(NamedTuple):
    """Raw undiscounted return (float64), length (int64) and success of every episode, each [environments, episodes].

    successes: 1 for an episode with a success at any step, 0 for one without, NaN where the environment reports no success (float64).
    """

    returns: np.ndarray
    lengths: np.ndarray
    successes: np.ndarray


class Moments(NamedTuple):
    """Seed and step number of the running episode of every environment, each [environments] int64; the first step is number 0.

    A random number that is a function of both does not depend on how episodes are divided among environments.
    """

    seeds: np.ndarray
    steps: np.ndarray


Act = Callable[[np.ndarray, Moments], np.ndarray]
"""Maps observations [environments, obs] float32 and their moments to actions [environments, act] in the environment's units."""


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


class Evaluator:
    """Processes that keep environments of one spec open between evaluations. A context manager; otherwise call `close`.

    between_episodes: False during `run`, and after one that raised; the environments cannot be used again then.
    """

    def __init__(self, env_spec: str, workers: int | None = None) -> None:
        """Start `workers` processes, by default one per core, for `env_spec` (Gymnasium's JSON). Raises DataError for an unusable spec.

        Episodes of an environment without a time limit end after `envs.data.horizon.LIMIT` steps.
        """
        check_spec("environment", env_spec)  # again: the spec may be of a changed cache
        import_packages(env_spec)
        if limit_of(spec := EnvSpec.from_json(env_spec)) is None:
            env_spec = limited(spec, LIMIT).to_json()
        context = multiprocessing.get_context("spawn")
        self._pipes: list[Connection] = []
        self._processes: list[BaseProcess] = []
        self.between_episodes = True
        # multiprocessing and joblib end a process's children by a signal, which these workers ignore, and wait for them before `atexit`
        # runs. A finalizer with an `exitpriority` runs earlier.
        Finalize(self, _end, (self._pipes, self._processes), exitpriority=10)
        with signals_blocked():
            for _ in range(workers or available_cores()):
                ours, theirs = context.Pipe()
                process = context.Process(target=work, args=(theirs, env_spec), daemon=True)
                process.start()
                theirs.close()
                self._pipes.append(ours)
                self._processes.append(process)

    def run(self, act: Act, seeds: np.ndarray, on_step: Callable[[], None] = lambda: None) -> Returns:
        """Play `seeds` [environments, episodes], row i in environment i, one after another.

        act: chooses the actions; rows of finished environments are ignored. on_step: called after each step. Raises DataError if an
        environment fails.
        """
        assert self.between_episodes, "an earlier run was interrupted: its answers are still on their way"
        self.between_episodes = False
        shares = [np.arange(len(seeds))[k :: len(self._pipes)] for k in range(len(self._pipes))]
        busy = [(pipe, rows) for pipe, rows in zip(self._pipes, shares, strict=True) if len(rows)]
        returns, lengths, successes = np.zeros(seeds.shape), np.zeros(seeds.shape, np.int64), np.zeros(seeds.shape)
        for pipe, rows in busy:
            self._exchange(pipe, partial(pipe.send, ("start", [seeds[row].tolist() for row in rows])))
        observations: np.ndarray | None = None
        episode, steps = np.zeros(len(seeds), np.int64), np.full(len(seeds), -1)
        while busy:
            running = []
            for pipe, rows in busy:
                received, ended, results = self._exchange(pipe, pipe.recv)
                if observations is None:
                    observations = np.zeros((len(seeds), received.shape[1]), np.float32)
                observations[rows] = received
                steps[rows] += 1
                steps[rows[ended]] = 0
                episode[rows[ended]] += 1
                if results is None:
                    running.append((pipe, rows))
                else:
                    returns[rows], lengths[rows], successes[rows] = np.moveaxis(np.asarray(results, np.float64), 2, 0)
            busy = running
            if busy:
                assert observations is not None
                current = seeds[np.arange(len(seeds)), np.minimum(episode, seeds.shape[1] - 1)]
                actions = act(observations, Moments(current, steps.copy()))
                for pipe, rows in busy:
                    self._exchange(pipe, partial(pipe.send, ("step", actions[rows])))
            on_step()
        self.between_episodes = True
        return Returns(returns, lengths, successes)

    def _exchange(self, pipe: Connection, call: Callable[[], Any]) -> Any:
        """The result of a call of `pipe`. Raises DataError for an environment's error, or if the process has ended."""
        try:
            result = call()
        except (EOFError, ConnectionError):
            process = self._processes[self._pipes.index(pipe)]
            process.join(PATIENCE)
            raise DataError(f"an environment process ended unexpectedly ({_how(process.exitcode)})") from None
        if result is not None and isinstance(result[0], str):
            raise DataError(f"an environment failed: {result[0]}")
        return result

    def close(self) -> None:
        """End the processes."""
        _end(self._pipes, self._processes)

    def __enter__(self) -> Evaluator:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


def _how(code: int | None) -> str:
    """A description of a process's end, from its exit code."""
    if code is None or code >= 0:
        return f"exit code {code}"
    name = signal.Signals(-code).name
    return f"killed by {name}{'; out of memory?' if name == 'SIGKILL' else ''}"


def _end(pipes: Sequence[Connection], processes: Sequence[BaseProcess]) -> None:
    """Close the pipes, which ends their processes; kill those whose environment still does not return after PATIENCE seconds."""
    for pipe in pipes:
        pipe.close()
    deadline = time.monotonic() + PATIENCE
    for process in processes:
        process.join(max(0.0, deadline - time.monotonic()))
        if process.is_alive():
            process.kill()
            process.join()
