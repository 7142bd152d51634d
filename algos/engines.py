"""Ways to do an update other than operation by operation: recorded as a CUDA graph, or compiled.

An engine is called with the kind of update and its random numbers and moves `algo.state` in place (algos/base.py). What an update reads
beside them must not move in memory: the data, the settings and the state's tensors. A state that was replaced is recorded again.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple, Protocol

import torch
from torch import Tensor

from algos.base import Algo, Engine, Metrics
from algos.batches.random_blocks import Draws
from algos.networks.tracing import ordinary_operations


def skip_all_guards(guards: Sequence[Any]) -> list[bool]:
    """No guard is kept. torch has it as torch.compiler.skip_all_guards_unsafe from 2.10 on."""
    return [False for _ in guards]


OPTIONS: dict[str, Any] = {
    "max_pointwise_cat_inputs": 0,  # a gradient's pieces are written where they belong, not looked for by every parameter
    "guard_filter_fn": skip_all_guards,  # updates of a kind are the same operations on tensors of the same shapes
}
PROCESS = os.getpid()  # that this was imported in
WARM_UP = 3  # eager updates before a recording, as CUDA graphs want


class Graph(Protocol):
    """A recorded update."""

    def replay(self) -> Any: ...


class Recording(NamedTuple):
    """A graph with the tensors that it reads anew and the ones that it writes."""

    graph: Graph
    draws: Draws
    metrics: Metrics


Recorder = Callable[[Callable[[], Metrics]], tuple[Graph, Metrics]]


def record_cuda(update: Callable[[], Metrics]) -> tuple[Graph, Metrics]:
    """`update` as a CUDA graph. Runs it a few times first."""
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
    """Replays one recording for each kind of update: the host launches one graph instead of hundreds of kernels."""

    def __init__(self, algo: Algo, record: Recorder = record_cuda) -> None:
        self.algo, self.record = algo, record
        self.state = algo.state
        self.recordings: dict[int, Recording] = {}

    def __call__(self, phase: int, draws: Draws) -> Metrics:
        if self.algo.state is not self.state:  # somebody loaded another
            self.recordings.clear()
            self.state = self.algo.state
        if phase not in self.recordings:
            self.recordings[phase] = self._recorded(phase, draws)
        recording = self.recordings[phase]
        for name, value in draws.items():
            recording.draws[name].copy_(value)
        recording.graph.replay()
        return recording.metrics

    def _recorded(self, phase: int, draws: Draws) -> Recording:
        """Record an update of kind `phase`; the state is afterwards what it was."""
        inputs = {name: value.clone() for name, value in draws.items()}
        before = {name: value.clone() for name, value in self.state.items()}
        try:
            graph, metrics = self.record(lambda: self.algo.step(phase, inputs))
        finally:
            for name, value in before.items():
                self.state[name].copy_(value)
        return Recording(graph, inputs, metrics)


class Compiled:
    """Traces an update of each kind, its gradients included, into one graph of operations and compiles that (torch.compile, inductor)."""

    def __init__(self, algo: Algo) -> None:
        self.algo = algo
        self.updates: dict[int, Callable[..., Metrics]] = {}

    def __call__(self, phase: int, draws: Draws) -> Metrics:
        names, state = list(self.algo.state), list(self.algo.state.values())
        if phase not in self.updates:
            self.updates[phase] = self._compiled(phase, names, [x.clone() for x in state], draws)
        return self.updates[phase](state, {name: x.contiguous() for name, x in draws.items()})

    def _compiled(self, phase: int, names: list[str], state: list[Tensor], draws: Draws) -> Callable[..., Metrics]:
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
        # A compiler's helpers are not in a fork of the process that started them: there it works alone.
        alone = {} if os.getpid() == PROCESS else {"compile_threads": 1}
        return torch.compile(traced, dynamic=False, options=OPTIONS | alone)


class WithFallback:
    """`engine` until it fails to get ready, which is said once; then operation by operation."""

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
            self.algo.engine = self.algo.step
            return self.algo.step(phase, draws)
        self.ready.add(phase)
        return metrics
