"""A population on a CPU, trained by processes of one thread each: within an update no thread waits for another."""

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
from collections.abc import Callable, Sequence
from multiprocessing.connection import Connection
from typing import Any, NamedTuple, NoReturn

import torch
from safetensors.torch import load, save
from torch import Tensor

from algos.base import Algo, Metrics, State
from algos.members import joined
from bench.config.schema import Config
from bench.errors import RunError
from bench.training.device import cores
from bench.training.member_groups import MemberGroups, member_slices, out_of_memory
from envs.errors import DataError
from envs.processes import ignore_signals


def processes_for(config: Config, device: torch.device, members: int) -> int:
    """Worker processes of a population: `trainer.processes`, by default one per core on Linux on a CPU, otherwise 1.

    With more than two cores per member, all threads work on all members in this process instead.
    """
    if device.type != "cpu" or config.trainer.engine == "captured" or not sys.platform.startswith("linux") or not hasattr(os, "fork"):
        return 1
    if config.trainer.processes is not None:
        return min(config.trainer.processes, members)
    return min(cores(), members) if cores() <= 2 * members else 1


def leaves_a_core(config: Config, device: torch.device, members: int) -> bool:
    """True if training leaves a core to an evaluation at the same time: on a GPU, or in fewer processes than there are cores."""
    return cores() > 1 if device.type == "cuda" else 1 < processes_for(config, device, members) < cores()


def build_population(make: Callable[[slice], Algo], members: int, groups: int, processes: int) -> Algo:
    """A population of `members` members; `make` builds any slice of it. Trained in `groups` groups in turn, else by `processes` workers."""
    if groups > 1:
        return MemberGroups([make(own) for own in member_slices(members, groups)])
    if processes > 1:
        return MemberProcesses([make(own) for own in member_slices(members, processes)])
    return make(slice(0, members))


class Worker(NamedTuple):
    """A worker process: its pipe, its pid and its parent's pid."""

    pipe: Connection
    pid: int
    parent: int


class MemberProcesses(MemberGroups):
    """The population of all members of `groups`, each trained by a fork of this process, which has the data in memory already.

    The states lie in memory shared with the forks, so that this process reads them between two calls of `train`. The first `train` makes
    the forks; they end with this object, or with this process even if it is killed.
    """

    def __init__(self, groups: Sequence[Algo]) -> None:
        super().__init__(groups)
        self.workers: list[Worker] = []
        weakref.finalize(self, _end, self.workers)
        self._share_states()

    def load(self, state: State) -> None:
        _end(self.workers)  # their memory is that of the old state
        super().load(state)
        self._share_states()

    def _share_states(self) -> None:
        for group in self.groups:
            group.state = {name: shared_copy(value) for name, value in group.state.items()}

    def train(self, start: int, stop: int) -> Metrics:
        """Train in the workers. Raises MemoryError if one ran out of memory or was killed, as the system does when memory runs out, and
        DataError if an environment of the online phase failed."""
        if not self.workers:
            for group in self.groups:
                self.workers.append(_fork(group))
        try:
            for worker in self.workers:
                worker.pipe.send_bytes(json.dumps([start, stop]).encode())
            answers = [(json.loads(worker.pipe.recv_bytes()), worker.pipe.recv_bytes()) for worker in self.workers]
        except (EOFError, ConnectionError):
            _end(self.workers)
            raise MemoryError("a worker process was killed") from None
        for answer, _ in answers:
            if "trace" in answer:
                _end(self.workers)
                if answer["data"]:
                    raise DataError(answer["data"])
                raise (MemoryError if answer["memory"] else RuntimeError)(answer["trace"])
        found = [(answer["names"], load(tensors)) for answer, tensors in answers]
        return joined([{name: metrics[name] for name in names} for names, metrics in found])  # in the order of the columns of curve.csv


def shared_copy(value: Tensor) -> Tensor:
    """A copy of `value` in memory that this process shares with its forks."""
    count = value.numel()
    memory = mmap.mmap(-1, max(1, count) * value.element_size())
    return torch.frombuffer(memory, dtype=value.dtype, count=max(1, count))[:count].view(value.shape).copy_(value)


def _fork(group: Algo) -> Worker:
    ours, theirs = multiprocessing.Pipe()
    sys.stdout.flush()
    sys.stderr.flush()
    try:
        pid = os.fork()
    except OSError as error:
        raise RunError(f"a worker process cannot be started ({error.strerror}); use trainer.processes=1") from error
    if pid == 0:
        _serve(group, theirs)
    theirs.close()
    return Worker(ours, pid, os.getpid())


def _serve(group: Algo, pipe: Connection) -> NoReturn:
    """In the worker: train `group` as `pipe` says, until the pipe is closed. Exits without cleaning up what belongs to the parent."""
    try:
        ignore_signals()
        gc.freeze()
        # The parent's pipes and locks: they stay open until every process that has them closes them.
        os.closerange(3, pipe.fileno())
        os.closerange(pipe.fileno() + 1, os.sysconf("SC_OPEN_MAX"))
        torch.set_num_threads(1)  # the parent's other threads do not exist in a fork
        while True:
            start, stop = json.loads(pipe.recv_bytes())
            answer: dict[str, Any]
            try:
                metrics = group.train(start, stop)
                answer, tensors = {"names": list(metrics)}, save(metrics)
            except Exception as error:
                data = str(error) if isinstance(error, DataError) else ""
                answer, tensors = {"memory": out_of_memory(error), "data": data, "trace": traceback.format_exc()}, b""
            pipe.send_bytes(json.dumps(answer).encode())
            pipe.send_bytes(tensors)
    except (EOFError, ConnectionError):
        pass
    finally:
        os._exit(0)


def _end(workers: list[Worker]) -> None:
    while workers:
        worker = workers.pop()
        worker.pipe.close()
        if worker.parent == os.getpid():  # other forks of the parent run this, too, when they end
            os.kill(worker.pid, signal.SIGKILL)
            os.waitpid(worker.pid, 0)
