"""Threads that take the pieces of one list of work, for work that lets go of the interpreter lock."""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from queue import SimpleQueue
from types import TracebackType

Work = Callable[[Iterator[int]], None]


class Crew:
    """The calling thread and `size - 1` others. A context manager: at its end the others end.

    They live as long as one evaluation, so that a process that forks between two evaluations has no threads of this module.
    """

    def __init__(self, size: int) -> None:
        self._work: list[SimpleQueue[tuple[Work, Iterator[int]] | None]] = [SimpleQueue() for _ in range(size - 1)]
        self._done: SimpleQueue[BaseException | None] = SimpleQueue()
        self._threads = [threading.Thread(target=self._serve, args=(queue,), daemon=True) for queue in self._work]
        for thread in self._threads:
            thread.start()

    def do(self, work: Work, pieces: Iterable[int]) -> None:
        """Call `work` in as many threads as there are `pieces`, at most all: each takes pieces from one iterator until none is left.

        Raises the error of a thread after all have stopped.
        """
        left = deque(pieces)
        helpers = self._work[: max(0, len(left) - 1)]
        left.extend([END] * (len(helpers) + 1))
        taken = iter(left.popleft, END)  # deque.popleft is thread-safe
        for queue in helpers:
            queue.put((work, iter(left.popleft, END)))
        errors = [_error(work, taken)]
        errors += [self._done.get() for _ in helpers]
        if (error := next(filter(None, errors), None)) is not None:
            raise error

    def _serve(self, queue: SimpleQueue[tuple[Work, Iterator[int]] | None]) -> None:
        while (task := queue.get()) is not None:
            self._done.put(_error(*task))

    def __enter__(self) -> Crew:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        for queue in self._work:
            queue.put(None)
        for thread in self._threads:
            thread.join()


END = -1  # in place of a piece: none is left


def _error(work: Work, pieces: Iterator[int]) -> BaseException | None:
    """The error of `work`, if any."""
    try:
        work(pieces)
    except BaseException as error:
        return error
    return None
