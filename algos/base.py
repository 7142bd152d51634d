"""The contract between a method and whoever trains it."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping, Sequence
from copy import copy
from dataclasses import asdict, dataclass, field
from typing import Any, ClassVar, Literal, Protocol

import torch
from torch import Tensor

from algos.batches.random_blocks import Draws
from algos.errors import ConfigError, require, require_positive
from algos.networks.precision import hidden_in_bfloat16

State = dict[str, Tensor]
"""Everything that training changes, by name: parameters, optimiser, averages, counters. Saving it and loading it back is resuming.
The first dimension is the member; what has no dimension is common to all."""

Metrics = dict[str, Tensor]
"""Named values, each [P]."""


Engine = Callable[[int, Draws], Metrics]
"""Does one update of a kind, given its random numbers."""


class Episodes(Protocol):
    """Logged data, as a method sees it: N steps of E episodes, flat and ragged (actions in the unit box)."""

    @property
    def observations(self) -> Tensor: ...  # [N, obs] float32
    @property
    def actions(self) -> Tensor: ...  # [N, act] float32
    @property
    def num_actions(self) -> int: ...  # of discrete actions, whose numbers `actions` [N, 1] holds; 0 means continuous ones
    @property
    def rewards(self) -> Tensor: ...  # [N] float32
    @property
    def next_observations(self) -> Tensor: ...  # [N, obs] float32
    @property
    def terminated(self) -> Tensor: ...  # [N] bool, do not bootstrap
    @property
    def offsets(self) -> Tensor: ...  # [E + 1] int64
    @property
    def lengths(self) -> Tensor: ...  # [E] int64
    @property
    def returns(self) -> Tensor: ...  # [E] float64


@dataclass
class MethodConfig:
    """Settings that every method has. The configuration of a method derives from it, in the method's file (algos/methods/NAME.py)."""

    name: str = "method"  # as shown in tables
    updates: int = 1_000_000  # gradient steps
    batch_size: int = 256  # a member
    hidden: list[int] = field(default_factory=lambda: [256, 256])  # widths of the hidden layers of every network

    @property
    def needs_pi_ref(self) -> bool:
        """True if training needs a reference policy, which is then trained first."""
        return False

    def check(self, key: str = "algo") -> None:
        """Raise ConfigError for a value that cannot be used; `key` is the configuration key of `self`."""
        require_positive(self, key, "updates", "batch_size")
        require(bool(self.hidden) and min(self.hidden) > 0, f"{key}.hidden", list(self.hidden), "positive layer widths")

    def determinants(self) -> dict[str, Any]:
        """The settings that the result depends on; a run directory is named by their hash."""
        return asdict(self)


class Algo(ABC):
    """A population of P learners of one method on one data set.

    Members share the data and nothing else: each has its own parameters, initialisation and sampling stream, so member k of a
    population equals the same member trained alone. What happens in update number t depends on (state, data, seeds, t) only.
    The configuration of members that differ in more than their seeds comes from algos.members.stacked.
    """

    state: State
    updates: int
    actions: ClassVar[tuple[Literal["continuous", "discrete"], ...]] = ("continuous",)  # the kinds that the method can learn from
    bfloat16: bool = False  # whether updates multiply hidden layers so (algos/networks/precision.py)
    shapes_vary: bool = False  # from update to update; what is recorded or compiled once cannot be used again then

    def __init__(self, data: Episodes, seeds: Sequence[int]) -> None:
        given = "discrete" if data.num_actions else "continuous"
        if given not in self.actions:
            raise ConfigError(f"{type(self).__name__} learns from {' or '.join(self.actions)} actions; the data's are {given}")
        self.data = data
        self.seeds = list(seeds)
        self.device = data.observations.device
        self.engine: Engine = self.step  # what does an update: algos/engines.py has others

    @property
    def members(self) -> int:
        """P."""
        return len(self.seeds)

    def scalar(self, value: float | Sequence[float]) -> Tensor:
        """A setting as a tensor [P]: one for all members, or one each (algos/members.py: stacked)."""
        values = value if isinstance(value, Sequence) else [value] * self.members
        return torch.tensor(values, dtype=torch.get_default_dtype(), device=self.device)

    def generators(self, stream: int) -> list[torch.Generator]:
        """One CPU generator a member (so that every device starts alike), seeded by (seed, stream)."""
        return [torch.Generator().manual_seed((seed * 0x9E3779B97F4A7C15 + stream) % 2**63) for seed in self.seeds]

    @property
    def parameters(self) -> int:
        """Trained parameters a member, critics included."""
        return sum(p[0].numel() for p in self.policy().values())

    @torch.no_grad()
    def train(self, start: int, stop: int) -> Metrics:
        """Do updates number `start` to `stop` - 1 on `self.state`; returns the last update's metrics."""
        metrics: Metrics = {}
        for t in range(start, stop):
            self.before(t)
            with hidden_in_bfloat16(self.bfloat16):
                metrics = self.engine(self.phase(t), self.draws(t))
        return {name: value.clone() for name, value in metrics.items()}  # an engine may use theirs again

    def before(self, update: int) -> None:  # noqa: B027 (most methods have nothing to do here)
        """What is done now and then, before update number `update`: in place on `self.state`, whatever the engine."""

    def phase(self, update: int) -> int:
        """Which kind of update number `update` is; updates of one kind are the same operations."""
        return 0

    @abstractmethod
    def draws(self, update: int) -> Draws:
        """The random numbers of update number `update`."""

    @abstractmethod
    def step(self, phase: int, draws: Draws) -> Metrics:
        """One update of kind `phase`, in place on `self.state`. Reads nothing back to the host and makes no random number."""

    @abstractmethod
    def act(self, observations: Tensor) -> Tensor:
        """Evaluation (mean) actions [P, B, act] in the unit box for `observations` [P, B, obs]."""

    def frozen(self) -> Algo:
        """A copy that acts and has the policy of now, whatever is trained further."""
        found = copy(self)
        found.state = {name: value.clone() for name, value in self.state.items()}
        return found

    @abstractmethod
    def diagnostics(self) -> Metrics:
        """What is logged at every evaluation."""

    @abstractmethod
    def policy(self) -> dict[str, Tensor]:
        """The policy's named parameters, each [P, ...], views of `state`."""

    def load_policy(self, parameters: Mapping[str, Tensor]) -> None:
        """Replace the policy by `parameters`, named and shaped as `policy` returns them."""
        for name, own in self.policy().items():
            own.copy_(parameters[name])
