"""Engines: run an update as a recorded CUDA graph or as compiled code instead of operation by operation, and in bfloat16.

An engine is called with the phase of an update and its random numbers and changes `algo.state` in place (algos/base.py). The
data, the settings and the tensors of the state must stay at their places in memory, because a recorded update reads them there. After the
state was replaced, the engine records updates again.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple, Protocol

import torch
from torch import Tensor

from algos.base import Algo, Draws, Engine, Metrics
from algos.networks.precision import hidden_in_bfloat16, ordinary_operations


def skip_all_guards(guards: Sequence[Any]) -> list[bool]:
    """Keep no guard. torch 2.10 and later have this function as torch.compiler.skip_all_guards_unsafe."""
    return [False for _ in guards]


OPTIONS: dict[str, Any] = {
    "max_pointwise_cat_inputs": 0,  # copy each piece of a joined gradient to its place; otherwise every entry searches for its piece
    "guard_filter_fn": skip_all_guards,  # updates of one phase are the same operations on the same shapes
}
PROCESS = os.getpid()  # the process that imported this module
WARM_UP = 3  # eager updates before a recording, which CUDA graphs need


class Graph(Protocol):
    """A recorded update."""

    def replay(self) -> Any: ...


class Recording(NamedTuple):
    """A graph, the random numbers that it reads and the metrics that it writes."""

    graph: Graph
    draws: Draws
    metrics: Metrics


Recorder = Callable[[Callable[[], Metrics]], tuple[Graph, Metrics]]


def record_cuda(update: Callable[[], Metrics]) -> tuple[Graph, Metrics]:
    """Record `update` as a CUDA graph, after WARM_UP runs."""
    stream = torch.cuda.Stream()
    stream.wait_stream(torch.cuda.current_stream())
    with torch.cuda.stream(stream):
        for _ in range(WARM_UP):
            update()
    torch.cuda.current_stream().wait_stream(stream)
    graph = torch.cuda.CUDAGraph()
    with torch.cuda.graph(graph):
        metrics = update()
    return graph, metrics


class Captured:
    """An engine that replays one recording per phase: the host launches one graph instead of hundreds of kernels.

    `update` is recorded: by default `algo.step`, or another engine whose updates may be recorded, such as `Compiled`.
    """

    def __init__(self, algo: Algo, record: Recorder = record_cuda, update: Engine | None = None) -> None:
        self.algo, self.record, self.update = algo, record, update or algo.step
        self.state = algo.state
        self.recordings: dict[int, Recording] = {}

    def __call__(self, phase: int, draws: Draws) -> Metrics:
        if self.algo.state is not self.state:  # another state was loaded
            self.recordings.clear()
            self.state = self.algo.state
        if phase not in self.recordings:
            self.recordings[phase] = self._record(phase, draws)
        recording = self.recordings[phase]
        for name, value in draws.items():
            recording.draws[name].copy_(value)
        recording.graph.replay()
        return recording.metrics

    def _record(self, phase: int, draws: Draws) -> Recording:
        """Record an update of phase `phase`; the state is restored afterwards."""
        inputs = {name: value.clone() for name, value in draws.items()}
        before = {name: value.clone() for name, value in self.state.items()}
        try:
            graph, metrics = self.record(lambda: self.update(phase, inputs))
        finally:
            for name, value in before.items():
                self.state[name].copy_(value)
        return Recording(graph, inputs, metrics)


class Compiled:
    """An engine that traces an update of each phase, gradients included, and compiles the graph (torch.compile, inductor)."""

    def __init__(self, algo: Algo) -> None:
        self.algo = algo
        self.updates: dict[int, Callable[..., Metrics]] = {}

    def __call__(self, phase: int, draws: Draws) -> Metrics:
        names, state = list(self.algo.state), list(self.algo.state.values())
        if phase not in self.updates:
            self.updates[phase] = self._compile(phase, names, [x.clone() for x in state], draws)
        return self.updates[phase](state, {name: x.contiguous() for name, x in draws.items()})

    def _compile(self, phase: int, names: list[str], state: list[Tensor], draws: Draws) -> Callable[..., Metrics]:
        from torch.fx.experimental.proxy_tensor import make_fx

        algo = self.algo

        def update(values: list[Tensor], random: Draws) -> Metrics:
            kept, algo.state = algo.state, dict(zip(names, values, strict=True))
            try:
                return algo.step(phase, random)
            finally:
                algo.state = kept

        with ordinary_operations():
            traced = make_fx(update)(state, {name: x.contiguous() for name, x in draws.items()})
        # A forked process lacks the compiler's helper threads of its parent.
        alone = {} if os.getpid() == PROCESS else {"compile_threads": 1}
        return torch.compile(traced, dynamic=False, options=OPTIONS | alone)


class WithFallback:
    """`engine`, replaced by eager updates if it cannot be prepared; `say` receives one line about the failure."""

    def __init__(self, algo: Algo, engine: Engine, name: str, say: Callable[[str], Any]) -> None:
        self.algo, self.engine, self.name, self.say = algo, engine, name, say
        self.ready: set[int] = set()

    def __call__(self, phase: int, draws: Draws) -> Metrics:
        try:
            metrics = self.engine(phase, draws)
        except torch.OutOfMemoryError:
            raise
        except Exception as error:
            if phase in self.ready:
                raise
            self.say(f"engine {self.name}: {type(error).__name__}: {str(error).strip().splitlines()[0]}; falling back to engine eager")
            self.engine = self.algo.step
            metrics = self.engine(phase, draws)
        self.ready.add(phase)
        return metrics


class InBfloat16:
    """`engine` with hidden layers multiplied in bfloat16 (algos/networks/precision.py)."""

    def __init__(self, engine: Engine) -> None:
        self.engine = engine

    def __call__(self, phase: int, draws: Draws) -> Metrics:
        with hidden_in_bfloat16():
            return self.engine(phase, draws)
