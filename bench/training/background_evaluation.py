"""An evaluation that is played in a thread of its own, of a policy as it was, while training goes on."""

from __future__ import annotations

import threading
from collections.abc import Callable

import torch

from algos.base import Algo, Metrics
from envs.evaluation.rollout import Returns


class BackgroundEvaluation:
    """The evaluation after `update`: `play` of `algo` as it is now. `measured` is what was measured beside it.

    The thread is a daemon: a process that is told to end does not wait for it.
    """

    def __init__(self, update: int, algo: Algo, measured: Metrics, play: Callable[[Algo], Returns]) -> None:
        self.update, self.measured = update, measured
        self._played: Returns | None = None
        self._error: BaseException | None = None
        self._thread = threading.Thread(target=self._run, args=(algo.frozen(), play), daemon=True)
        self._thread.start()

    def _run(self, algo: Algo, play: Callable[[Algo], Returns]) -> None:
        try:
            if algo.device.type == "cuda":  # a stream of its own, for what training has in its queue would come first
                stream = torch.cuda.Stream(algo.device)
                stream.wait_stream(torch.cuda.default_stream(algo.device))
                with torch.cuda.stream(stream):
                    self._played = play(algo)
            else:
                self._played = play(algo)
        except BaseException as error:
            self._error = error

    @property
    def over(self) -> bool:
        """Whether `result` has no need to wait."""
        return not self._thread.is_alive()

    def result(self) -> Returns:
        """What was played, when it is over. Raises what playing raised."""
        self._thread.join()
        if self._error is not None:
            raise self._error
        assert self._played is not None
        return self._played

    def wait(self) -> None:
        """Until it is over, whatever came of it."""
        self._thread.join()
