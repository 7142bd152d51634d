"""A population on a CPU whose members are dealt out over processes of one thread each: no thread waits for another within an update."""

from __future__ import annotations

import gc
import json
import mmap
import multiprocessing
import os
import signal
import sys
import traceback
import weakref
from collections.abc import Sequence
from multiprocessing.connection import Connection
from typing import Any, NamedTuple, NoReturn

import torch
from safetensors.torch import load, save
from torch import Tensor

from algos.base import Algo, Metrics, State
from algos.members import joined
from bench.errors import RunError
from bench.training.member_groups import MemberGroups, out_of_memory

LEFT_TO_THE_PARENT = (signal.SIGINT, signal.SIGTERM, signal.SIGUSR1, signal.SIGUSR2)
"""Schedulers signal every process of a job; the one that was forked says when to stop."""


class Worker(NamedTuple):
    """A process that trains a part, and the one that forked it."""

    pipe: Connection
    pid: int
    parent: int


class MemberProcesses(MemberGroups):
    """Populations `parts` that look like one and train side by side, each in a fork of this process, which has the data already.

    Their states are in memory that the processes share, so that whatever is read between two calls of `train` is there without asking.
    The forks are made by the first `train`, and end with this object or with this process, whatever ends it.
    """

    def __init__(self, parts: Sequence[Algo]) -> None:
        super().__init__(parts)
        self.workers: list[Worker] = []
        weakref.finalize(self, _end, self.workers)
        self._share()

    def load(self, state: State) -> None:
        _end(self.workers)  # what they share is what was before
        super().load(state)
        self._share()

    def _share(self) -> None:
        for part in self.parts:
            part.state = {name: shared(value) for name, value in part.state.items()}

    def train(self, start: int, stop: int) -> Metrics:
        """Raises MemoryError if a process had none left, or was ended as the system does then."""
        if not self.workers:
            for part in self.parts:
                self.workers.append(_fork(part))
        try:
            for hand in self.workers:
                hand.pipe.send_bytes(json.dumps([start, stop]).encode())
            answers = [(json.loads(hand.pipe.recv_bytes()), hand.pipe.recv_bytes()) for hand in self.workers]
        except (EOFError, ConnectionError):
            _end(self.workers)
            raise MemoryError("a process that trains was ended from outside") from None
        for answer, _ in answers:
            if "trace" in answer:
                _end(self.workers)
                raise (MemoryError if answer["memory"] else RuntimeError)(answer["trace"])
        found = [(answer["names"], load(tensors)) for answer, tensors in answers]
        return joined([{name: metrics[name] for name in names} for names, metrics in found])  # whose order is that of a curve's columns


def shared(value: Tensor) -> Tensor:
    """A copy of `value` that this process and its forks share."""
    count = value.numel()
    memory = mmap.mmap(-1, max(1, count) * value.element_size())
    return torch.frombuffer(memory, dtype=value.dtype, count=max(1, count))[:count].view(value.shape).copy_(value)


def _fork(part: Algo) -> Worker:
    ours, theirs = multiprocessing.Pipe()
    sys.stdout.flush()
    sys.stderr.flush()
    try:
        pid = os.fork()
    except OSError as error:
        raise RunError(f"a process that trains cannot be started ({error.strerror}); trainer.processes=1 needs none") from error
    if pid == 0:
        _serve(part, theirs)
    theirs.close()
    return Worker(ours, pid, os.getpid())


def _serve(part: Algo, pipe: Connection) -> NoReturn:
    """Train `part` as far as `pipe` says, until that ends. Nothing of the forked process is cleaned up: it goes on there."""
    try:
        for number in LEFT_TO_THE_PARENT:
            signal.signal(number, signal.SIG_IGN)
        gc.freeze()
        # Pipes and locks of the parent, which count as open until all have let go.
        os.closerange(3, pipe.fileno())
        os.closerange(pipe.fileno() + 1, os.sysconf("SC_OPEN_MAX"))
        torch.set_num_threads(1)  # the parent's other threads are not in a fork
        while True:
            start, stop = json.loads(pipe.recv_bytes())
            answer: dict[str, Any]
            try:
                metrics = part.train(start, stop)
                answer, tensors = {"names": list(metrics)}, save(metrics)
            except Exception as error:
                answer, tensors = {"memory": out_of_memory(error), "trace": traceback.format_exc()}, b""
            pipe.send_bytes(json.dumps(answer).encode())
            pipe.send_bytes(tensors)
    except (EOFError, ConnectionError):
        pass
    finally:
        os._exit(0)


def _end(workers: list[Worker]) -> None:
    while workers:
        hand = workers.pop()
        hand.pipe.close()
        if hand.parent == os.getpid():  # and not another fork of it, which comes here as it ends
            os.kill(hand.pid, signal.SIGKILL)
            os.waitpid(hand.pid, 0)
