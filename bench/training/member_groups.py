"""A population too large for the memory, trained group by group; each member is trained as in one group."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Mapping, Sequence

import torch
from torch import Tensor

from algos.base import Algo, Draws, Metrics, State
from algos.members import joined, part


def out_of_memory(error: BaseException) -> bool:
    """True if the GPU or the machine had no memory left."""
    return isinstance(error, torch.OutOfMemoryError | MemoryError) or (
        isinstance(error, RuntimeError) and any(words in str(error) for words in ("can't allocate memory", "not enough memory"))
    )


def member_slices(members: int, groups: int) -> list[slice]:
    """`members` in `groups` consecutive groups, whose sizes differ by at most one."""
    ends = [members * k // groups for k in range(groups + 1)]
    return [slice(first, last) for first, last in itertools.pairwise(ends)]


class MemberGroups(Algo):
    """The population of all members of `groups`, populations of one method. One group computes at a time."""

    def __init__(self, groups: Sequence[Algo]) -> None:
        self.groups = list(groups)
        self.data, self.device, self.updates = groups[0].data, groups[0].device, groups[0].updates
        self.seeds = [seed for group in groups for seed in group.seeds]
        ends = itertools.accumulate((group.members for group in groups), initial=0)
        self.slices = [slice(first, last) for first, last in itertools.pairwise(ends)]

    @property
    def state(self) -> State:
        """A copy of the state of all members."""
        return joined([group.state for group in self.groups])

    @state.setter
    def state(self, state: State) -> None:
        self.load(state)

    def load(self, state: State) -> None:
        """Copy the members' parts of `state` into the groups."""
        for group, own in zip(self.groups, self.slices, strict=True):
            group.state = {name: value.clone() for name, value in part(state, own).items()}

    def checkpoint(self, done: int) -> State:
        return joined([group.checkpoint(done) for group in self.groups])

    @property
    def parameters(self) -> int:
        return self.groups[0].parameters

    def train(self, start: int, stop: int) -> Metrics:
        return joined([group.train(start, stop) for group in self.groups])

    def act(self, observations: Tensor) -> Tensor:
        return torch.cat([group.act(observations[own]) for group, own in zip(self.groups, self.slices, strict=True)])

    @property
    def noise_width(self) -> int:
        return self.groups[0].noise_width

    def act_sampled(self, observations: Tensor, uniform: Tensor) -> Tensor:
        parts = zip(self.groups, self.slices, strict=True)
        return torch.cat([group.act_sampled(observations[own], uniform[own]) for group, own in parts])

    @property
    def writes(self) -> bool:
        return self.groups[0].writes

    def write(self, prompts: Tensor, lengths: Tensor, end: int, noise: Callable[[Tensor], Tensor] | None = None) -> Tensor:
        own = zip(self.groups, self.slices, strict=True)
        parts = [(group, prompts[members], lengths[members], _of_members(noise, members, len(self.seeds))) for group, members in own]
        return torch.cat([group.write(given, long, end, random) for group, given, long, random in parts])

    def frozen(self) -> Algo:
        return MemberGroups([group.frozen() for group in self.groups])

    def diagnostics(self) -> Metrics:
        return joined([group.diagnostics() for group in self.groups])

    def policy(self) -> dict[str, Tensor]:
        return joined([group.policy() for group in self.groups])

    def load_policy(self, parameters: Mapping[str, Tensor]) -> None:
        for group, own in zip(self.groups, self.slices, strict=True):
            group.load_policy(part(dict(parameters), own))

    def before(self, update: int) -> None:
        for group in self.groups:
            group.before(update)

    def phase(self, update: int) -> int:
        return self.groups[0].phase(update)

    def draws(self, update: int) -> Draws:
        return joined([group.draws(update) for group in self.groups])

    def step(self, phase: int, draws: Draws) -> Metrics:
        own = [{name: value[members] for name, value in draws.items()} for members in self.slices]
        return joined([group.step(phase, random) for group, random in zip(self.groups, own, strict=True)])


def _of_members(noise: Callable[[Tensor], Tensor] | None, members: slice, total: int) -> Callable[[Tensor], Tensor] | None:
    """The part of `noise`, a function of the steps [total, B] of all members, for some of them."""
    if noise is None:
        return None
    everyone = noise

    def own(steps: Tensor) -> Tensor:
        padded = steps.new_zeros(total, steps.shape[1])
        padded[members] = steps
        return everyone(padded)[members]

    return own
