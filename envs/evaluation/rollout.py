"""Vectorised evaluation: many environments in a few processes, stepped together under one batched policy.

Every environment has its episodes, each with its own seed, fixed in advance. Taking the first N that finish would favour short ones.
The policy is any callable on NumPy arrays, so the processes that step environments import neither torch nor a policy.
"""

from __future__ import annotations

import multiprocessing
import os
import signal
from collections.abc import Callable, Sequence
from multiprocessing.connection import Connection
from multiprocessing.util import Finalize
from typing import Any, NamedTuple

import numpy as np

from envs.data.trust import check_spec
from envs.errors import DataError


class Returns(NamedTuple):
    """Raw undiscounted return (float64) and length (int64) of every episode, both [environments, episodes]."""

    returns: np.ndarray
    lengths: np.ndarray


def episode_seeds(seeds: Sequence[int], update: int, episodes: int) -> np.ndarray:
    """[len(seeds), episodes] environment seeds for the evaluation of members `seeds` after `update` updates.

    They depend on the member's seed, the update and the episode: successive evaluations do not replay the same starts, every method
    sees the same starts, and training's random streams have no part in it.
    """
    evaluation_stream = 0xE7A1
    return np.array(
        [[np.random.SeedSequence([seed, evaluation_stream, update, e]).generate_state(1)[0] for e in range(episodes)] for seed in seeds],
        dtype=np.int64,
    )


class _Slot:
    """One environment working through its list of episode seeds."""

    def __init__(self, env_spec: str) -> None:
        from envs.data.environments import make
        from envs.data.spaces import Flattener

        self.env = make(env_spec)
        self.flat = Flattener(self.env.observation_space)

    def start(self, seeds: Sequence[int]) -> np.ndarray:
        self.waiting = list(seeds)
        self.results: list[tuple[float, int]] = []
        return self._next()

    def _next(self) -> np.ndarray:
        self.total, self.length = 0.0, 0
        self.running = bool(self.waiting)
        return self.flat(self.env.reset(seed=int(self.waiting.pop(0)))[0]) if self.running else np.zeros(self.flat.width)

    def step(self, action: np.ndarray) -> np.ndarray:
        observation, reward, terminated, truncated, _ = self.env.step(action)
        self.total, self.length = self.total + float(reward), self.length + 1
        if terminated or truncated:
            self.results.append((self.total, self.length))
            return self._next()
        return self.flat(observation)


def _work(pipe: Connection, spec_json: str) -> None:
    """A process: `start` gives its slots their seeds, `step` moves the running ones on, until all lists are done."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is for the process that asked; this one ends with its pipe
    slots: list[_Slot] = []
    try:
        while True:
            command, payload = pipe.recv()
            if command == "start":
                slots += [_Slot(spec_json) for _ in range(len(payload) - len(slots))]
                active = slots[: len(payload)]
                observations = np.stack([slot.start(seeds) for slot, seeds in zip(active, payload, strict=True)]).astype(np.float32)
            else:
                for i, slot in enumerate(active):
                    if slot.running:
                        observations[i] = slot.step(payload[i])
            running = any(slot.running for slot in active)
            pipe.send((observations, None if running else [slot.results for slot in active]))
    except (EOFError, ConnectionError):
        return
    except Exception as error:
        pipe.send((f"{type(error).__name__}: {error}", None))


class Evaluator:
    """Processes that keep environments of one spec open between evaluations. Use as a context manager, or call `close`."""

    def __init__(self, env_spec: str, workers: int | None = None) -> None:
        """`env_spec`: Gymnasium's JSON of a spec. `workers`: processes, all cores unless told."""
        check_spec("environment", env_spec)  # whoever it comes from: a cache may have been tampered with
        context = multiprocessing.get_context("spawn")
        self._pipes: list[Connection] = []
        self._processes = []
        # When a process ends that multiprocessing or joblib started, children are told to end by a signal, which these block, and waited
        # for, before `atexit` has its turn; what has an `exitpriority` comes before that.
        Finalize(self, _hang_up, (self._pipes,), exitpriority=10)
        # Schedulers signal every process of a job; these go on until the one that asked has saved, and inherit what is blocked here.
        blocked = signal.pthread_sigmask(signal.SIG_BLOCK, (signal.SIGTERM, signal.SIGUSR1, signal.SIGUSR2))
        try:
            for _ in range(workers or os.cpu_count() or 1):
                ours, theirs = context.Pipe()
                process = context.Process(target=_work, args=(theirs, env_spec), daemon=True)
                process.start()
                theirs.close()
                self._pipes.append(ours)
                self._processes.append(process)
        finally:
            signal.pthread_sigmask(signal.SIG_SETMASK, blocked)

    def run(
        self,
        act: Callable[[np.ndarray], np.ndarray],
        seeds: np.ndarray,
        on_step: Callable[[], None] = lambda: None,
    ) -> Returns:
        """Play `seeds` [environments, episodes], row i in environment i, one after another.

        `act` maps observations [environments, obs] float32 to actions [environments, act] in the environment's units; rows of
        environments that are done are ignored. Raises DataError if an environment fails.
        """
        shares = [np.arange(len(seeds))[k :: len(self._pipes)] for k in range(len(self._pipes))]
        busy = [(pipe, rows) for pipe, rows in zip(self._pipes, shares, strict=True) if len(rows)]
        returns, lengths = np.zeros(seeds.shape), np.zeros(seeds.shape, np.int64)
        for pipe, rows in busy:
            pipe.send(("start", [seeds[row].tolist() for row in rows]))
        observations: np.ndarray | None = None
        while busy:
            going = []
            for pipe, rows in busy:
                received, results = self._receive(pipe)
                if observations is None:
                    observations = np.zeros((len(seeds), received.shape[1]), np.float32)
                observations[rows] = received
                if results is None:
                    going.append((pipe, rows))
                else:
                    returns[rows], lengths[rows] = np.moveaxis(np.asarray(results, np.float64), 2, 0)
            busy = going
            if busy:
                assert observations is not None
                actions = act(observations)
                for pipe, rows in busy:
                    pipe.send(("step", actions[rows]))
            on_step()
        return Returns(returns, lengths)

    @staticmethod
    def _receive(pipe: Connection) -> tuple[Any, Any]:
        try:
            received, results = pipe.recv()
        except EOFError:
            raise DataError("an environment process ended unexpectedly (out of memory?)") from None
        if isinstance(received, str):
            raise DataError(f"an environment failed: {received}")
        return received, results

    def close(self) -> None:
        _hang_up(self._pipes)
        for process in self._processes:
            process.join(timeout=5)

    def __enter__(self) -> Evaluator:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


def _hang_up(pipes: Sequence[Connection]) -> None:
    """Every process ends when its pipe does."""
    for pipe in pipes:
        pipe.close()
