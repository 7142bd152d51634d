"""Environments stepped in processes: for every environment, and for code that may fail, block or end its process."""

from __future__ import annotations

import multiprocessing
import signal
import time
from collections.abc import Callable, Sequence
from functools import partial
from multiprocessing.connection import Connection
from multiprocessing.process import BaseProcess
from multiprocessing.util import Finalize
from typing import Any

import numpy as np

from envs.errors import DataError
from envs.evaluation.episodes import Act, Moments, Returns
from envs.evaluation.worker import work
from envs.processes import signals_blocked

PATIENCE = 5.0  # seconds for processes to end


class Processes:
    """Processes that keep environments of one spec open between evaluations; `close` ends them."""

    def __init__(self, env_spec: str, count: int) -> None:
        """Start `count` processes for `env_spec` (Gymnasium's JSON)."""
        context = multiprocessing.get_context("spawn")
        self._pipes: list[Connection] = []
        self._processes: list[BaseProcess] = []
        # multiprocessing and joblib end a process's children by a signal, which these workers ignore, and wait for them before `atexit`
        # runs. A finalizer with an `exitpriority` runs earlier.
        Finalize(self, _end, (self._pipes, self._processes), exitpriority=10)
        with signals_blocked():
            for _ in range(count):
                ours, theirs = context.Pipe()
                process = context.Process(target=work, args=(theirs, env_spec), daemon=True)
                process.start()
                theirs.close()
                self._pipes.append(ours)
                self._processes.append(process)

    def run(self, act: Act, seeds: np.ndarray, on_step: Callable[[], None]) -> Returns:
        """Play `seeds` as `envs.evaluation.rollout.Evaluator.run` says."""
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
