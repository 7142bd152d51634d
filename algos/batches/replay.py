"""Steps that members collect themselves, and batches of them beside logged ones: symmetric sampling (Ball et al. 2023, arXiv 2302.02948).

A batch of B transitions has round(share * B) logged ones; the rest are the member's own, drawn uniformly from those that its buffer holds.
Both kinds come from one stream of random numbers, a function of (seed, update).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import torch
from torch import Tensor

from algos.base import Draws, State
from algos.batches.transitions import Transitions, TransitionStream


class Replay:
    """The last `size` steps of each of P members, as tensors [P, size, ...] by name in `state`. Step number k is in slot k % size.

    taken: steps so far. terminated: no bootstrapping after the step. ended: the step is its episode's last.
    """

    def __init__(self, state: State, taken: int = 0) -> None:
        self.state, self.taken = state, taken
        self.size = state["rewards"].shape[1]

    @staticmethod
    def empty(
        members: int, size: int, observation_width: int, action_width: int, device: torch.device, columns: Sequence[str] = ()
    ) -> State:
        """The state of a buffer without steps; `columns`: names of further numbers of a step."""
        shapes: dict[str, tuple[int, ...]] = {"observations": (observation_width,), "actions": (action_width,), "rewards": ()}
        shapes |= {"next_observations": (observation_width,), **dict.fromkeys(columns, ())}
        found = {name: torch.zeros(members, size, *shape, device=device) for name, shape in shapes.items()}
        flags = {name: torch.zeros(members, size, dtype=torch.bool, device=device) for name in ("terminated", "ended")}
        return found | flags

    @staticmethod
    def bytes_of(members: int, size: int, observation_width: int, action_width: int) -> int:
        """The memory of `empty`."""
        return members * size * (4 * (2 * observation_width + action_width + 1) + 2)

    @property
    def filled(self) -> int:
        """Slots that hold a step."""
        return min(self.taken, self.size)

    def add(self, step: Mapping[str, Tensor]) -> None:
        """Write the next step of every member: tensors [P, ...] by the names of `state`."""
        slot = self.taken % self.size
        for name, value in step.items():
            self.state[name][:, slot].copy_(value)
        self.taken += 1

    def gather(self, name: str, slots: Tensor) -> Tensor:
        """The entries `name` [P, B, ...] in the members' own `slots` [P, B]."""
        rows = torch.arange(len(slots), device=slots.device).unsqueeze(1)
        return self.state[name][rows, slots]


class MixedStream:
    """Batches of logged transitions of `offline` and of the members' own in `replay`, with the interface of TransitionStream.

    share: of the logged ones. `factor` and `shift` turn the environment's rewards into the method's. `Transitions.step` numbers the data's
    steps, and behind them the slots of the buffer.
    """

    def __init__(self, offline: TransitionStream, replay: Replay, share: float, factor: float, shift: float) -> None:
        self.offline, self.replay, self.factor, self.reward_shift = offline, replay, factor, shift
        self.logged = round(share * offline.steps.batch_size)
        self.total = len(offline.rewards)

    @property
    def shift(self) -> Tensor:
        """Of the normaliser of observations, that of the logged data."""
        return self.offline.shift

    @property
    def scale(self) -> Tensor:
        """Of the normaliser of observations, that of the logged data."""
        return self.offline.scale

    def draws(self, update: int) -> Draws:
        """The random numbers of update number `update`."""
        return self.offline.draws(update)

    def from_draws(self, draws: Draws) -> Transitions:
        """The batch of the random numbers `draws`. The buffer must hold a step unless all are logged ones."""
        position = draws["position"][..., 0]
        step = (position[:, : self.logged] * self.total).long()
        slot = (position[:, self.logged :] * self.replay.filled).long()
        logged, own = self.offline.gather(step, {}), self._own(slot)
        noise = {name: draws[name] for name in self.offline.noise}
        return Transitions._make([*(torch.cat([a, b], 1) for a, b in zip(logged[:-1], own[:-1], strict=True)), noise])

    def _own(self, slot: Tensor) -> Transitions:
        get, rewards = self.replay.gather, self.offline.rewards
        observations, next_observations = (self.normalise(get(name, slot)) for name in ("observations", "next_observations"))
        live = (~get("terminated", slot)).to(rewards.dtype)
        reward = get("rewards", slot) * self.factor + self.reward_shift
        return Transitions(self.total + slot, observations, get("actions", slot), reward, next_observations, live, {})

    def normalise(self, observations: Tensor) -> Tensor:
        """`observations` [..., obs], normalised for the networks."""
        return self.offline.normalise(observations)

    def next_actions(self, step: Tensor) -> tuple[Tensor, Tensor]:
        """The actions [P, B, act] taken one step after `step` [P, B], and a mask [P, B]: 0 where there is none (yet)."""
        logged, has_next = self.offline.next_actions(step[:, : self.logged])
        slot = step[:, self.logged :] - self.total
        newest = (self.replay.taken - 1) % self.replay.size
        followed = ~self.replay.gather("ended", slot) & (slot != newest)
        own = self.replay.gather("actions", (slot + 1) % self.replay.size)
        return torch.cat([logged, own], 1), torch.cat([has_next, followed.to(has_next.dtype)], 1)
