"""A population that does not fit the memory is trained in parts, one after another; its members are the same."""

from __future__ import annotations

import itertools
from collections.abc import Mapping, Sequence

import torch
from torch import Tensor

from algos.base import Algo, Draws, Metrics, State
from algos.members import joined


def out_of_memory(error: BaseException) -> bool:
    """Whether a GPU or the machine had no memory left."""
    return isinstance(error, torch.OutOfMemoryError | MemoryError) or (
        isinstance(error, RuntimeError) and any(words in str(error) for words in ("can't allocate memory", "not enough memory"))
    )


def places(members: int, parts: int) -> list[slice]:
    """`members` in `parts` parts of about one size."""
    ends = [members * k // parts for k in range(parts + 1)]
    return [slice(first, last) for first, last in itertools.pairwise(ends)]


class MemberGroups(Algo):
    """Populations `parts` of one method that look like one. Only one at a time computes."""

    def __init__(self, parts: Sequence[Algo]) -> None:
        self.parts = list(parts)
        self.data, self.device, self.updates = parts[0].data, parts[0].device, parts[0].updates
        self.seeds = [seed for part in parts for seed in part.seeds]
        ends = [sum(p.members for p in parts[:k]) for k in range(len(parts) + 1)]
        self.places = [slice(first, last) for first, last in itertools.pairwise(ends)]

    @property
    def state(self) -> State:
        """A copy of all parts' states."""
        return joined([part.state for part in self.parts])

    @state.setter
    def state(self, state: State) -> None:
        self.load(state)

    def load(self, state: State) -> None:
        """Give every part its own copy of what is its in `state`."""
        for part, place in zip(self.parts, self.places, strict=True):
            part.state = {name: value.clone() if value.ndim == 0 else value[place].clone() for name, value in state.items()}

    @property
    def parameters(self) -> int:
        return self.parts[0].parameters

    def train(self, start: int, stop: int) -> Metrics:
        return joined([part.train(start, stop) for part in self.parts])

    def act(self, observations: Tensor) -> Tensor:
        return torch.cat([part.act(observations[place]) for part, place in zip(self.parts, self.places, strict=True)])

    def frozen(self) -> Algo:
        return MemberGroups([part.frozen() for part in self.parts])

    def diagnostics(self) -> Metrics:
        return joined([part.diagnostics() for part in self.parts])

    def policy(self) -> dict[str, Tensor]:
        return joined([part.policy() for part in self.parts])

    def load_policy(self, parameters: Mapping[str, Tensor]) -> None:
        for part, place in zip(self.parts, self.places, strict=True):
            part.load_policy({name: value[place] for name, value in parameters.items()})

    def before(self, update: int) -> None:
        for part in self.parts:
            part.before(update)

    def phase(self, update: int) -> int:
        return self.parts[0].phase(update)

    def draws(self, update: int) -> Draws:
        return joined([part.draws(update) for part in self.parts])

    def step(self, phase: int, draws: Draws) -> Metrics:
        own = [{name: value[place] for name, value in draws.items()} for place in self.places]
        return joined([part.step(phase, random) for part, random in zip(self.parts, own, strict=True)])
