"""An evaluation in a thread: episodes of a frozen policy, while training continues."""

from __future__ import annotations

import threading
from collections.abc import Callable

import torch

from algos.base import Algo, Metrics
from envs.evaluation.rollout import Returns

POLL = 0.1  # seconds


class BackgroundEvaluation:
    """The evaluation after `update`: `play` on a frozen copy of `algo`. metrics: training's metrics [P] after that update.

    The thread is a daemon: a process that exits does not wait for it.
    """

    def __init__(self, update: int, algo: Algo, metrics: Metrics, play: Callable[[Algo], Returns]) -> None:
        self.update, self.metrics = update, metrics
        self._played: Returns | None = None
        self._error: BaseException | None = None
        self._thread = threading.Thread(target=self._run, args=(algo.frozen(), play), daemon=True)
        self._thread.start()

    def _run(self, algo: Algo, play: Callable[[Algo], Returns]) -> None:
        try:
            if algo.device.type == "cuda":  # a stream of its own: on training's stream it would wait for all queued updates
                stream = torch.cuda.Stream(algo.device)
                stream.wait_stream(torch.cuda.default_stream(algo.device))
                with torch.cuda.stream(stream):
                    self._played = play(algo)
            else:
                self._played = play(algo)
        except BaseException as error:
            self._error = error

    @property
    def finished(self) -> bool:
        """True when `result` will not block."""
        return not self._thread.is_alive()

    def result(self) -> Returns:
        """Wait for the evaluation; returns its episodes or raises its error."""
        self.wait()
        if self._error is not None:
            raise self._error
        assert self._played is not None
        return self._played

    def wait(self, on_poll: Callable[[], None] = lambda: None) -> None:
        """Wait for the evaluation; ignore its error. `on_poll` is called every POLL seconds; it may raise."""
        while not self.finished:
            on_poll()
            self._thread.join(POLL)
