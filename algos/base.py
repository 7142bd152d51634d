"""The contract of a method: its settings, the data that it sees, and the operations of a population."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping, Sequence
from copy import copy
from dataclasses import asdict, dataclass, field
from typing import Any, ClassVar, Literal, Protocol

import torch
from torch import Tensor

from algos.errors import ConfigError, require, require_positive

State = dict[str, Tensor]
"""Everything that training changes, by name: parameters, optimiser moments, averages, counters. Training resumes from a saved copy.
The first dimension is the member; a tensor without dimensions is common to all members."""

Metrics = dict[str, Tensor]
"""Named values, each [P]."""

Draws = dict[str, Tensor]
"""The random numbers of one update by name, each [P, ...]."""

Engine = Callable[[int, Draws], Metrics]
"""A function that performs one update from its phase and its random numbers: `Algo.step`, or an engine of algos/engines.py."""


class Episodes(Protocol):
    """Logged data as a method sees them: N steps of E episodes, concatenated. Continuous actions are scaled to [-1, 1]."""

    @property
    def observations(self) -> Tensor: ...  # [N, obs] float32
    @property
    def actions(self) -> Tensor: ...  # [N, act] float32
    @property
    def num_actions(self) -> int: ...  # number of discrete actions, which `actions` [N, 1] holds as numbers; 0: continuous
    @property
    def rewards(self) -> Tensor: ...  # [N] float32
    @property
    def next_observations(self) -> Tensor: ...  # [N, obs] float32
    @property
    def terminated(self) -> Tensor: ...  # [N] bool, no bootstrapping after this step
    @property
    def offsets(self) -> Tensor: ...  # [E + 1] int64
    @property
    def lengths(self) -> Tensor: ...  # [E] int64
    @property
    def returns(self) -> Tensor: ...  # [E] float64


@dataclass
class MethodConfig:
    """Settings that every method has. The configuration of a method derives from it, in the method's file (algos/methods/NAME.py)."""

    fewest_updates: ClassVar[int] = 1  # 0: a method that may learn online alone
    evaluation_settings: ClassVar[tuple[str, ...]] = ()  # names of settings that training does not use
    name: str = "method"  # as shown in tables
    updates: int = 1_000_000  # gradient steps
    batch_size: int = 256  # per member
    hidden: list[int] = field(default_factory=lambda: [256, 256])  # widths of the hidden layers of every network

    @property
    def shapes_vary(self) -> bool:
        """True if batches differ in shape, so that an update cannot be recorded or compiled once."""
        return False

    @property
    def needs_pi_ref(self) -> bool:
        """True if training needs a reference policy, which is then trained first."""
        return False

    def check(self, key: str = "algo") -> None:
        """Raise ConfigError for a value that cannot be used; `key` is the configuration key of `self`."""
        require_positive(self, key, *(["updates"] if self.fewest_updates else []), "batch_size")
        require(self.updates >= 0, f"{key}.updates", self.updates, "a number of at least 0")
        require(bool(self.hidden) and min(self.hidden) > 0, f"{key}.hidden", list(self.hidden), "positive layer widths")

    def determinants(self) -> dict[str, Any]:
        """The settings that the result depends on; a run directory is named by their hash."""
        return asdict(self)


class Algo(ABC):
    """A population of P learners of one method on one data set.

    Members share the data and nothing else: each has its own parameters, initialisation and random numbers, so member k of a population
    equals the same member trained alone. Update number t depends on (state, data, seeds, t) only.
    For members that differ in more than their seeds, algos.members.stacked makes the configuration.
    """

    state: State
    updates: int
    actions: ClassVar[tuple[Literal["continuous", "discrete"], ...]] = ("continuous",)  # kinds that the method learns from
    shapes_vary: bool = False  # True if batches differ in shape, so that an update cannot be recorded or compiled once
    goes_online: ClassVar[bool] = False  # True for a method that can go on with steps of its own (Learner.go_online)

    def __init__(self, data: Episodes, seeds: Sequence[int]) -> None:
        given = "discrete" if data.num_actions else "continuous"
        if given not in self.actions:
            raise ConfigError(f"{type(self).__name__} learns from {' or '.join(self.actions)} actions; the data's are {given}")
        self.data = data
        self.seeds = list(seeds)
        self.device = data.observations.device
        self.engine: Engine = self.step

    @property
    def members(self) -> int:
        """P, the number of members."""
        return len(self.seeds)

    def scalar(self, value: float | Sequence[float]) -> Tensor:
        """A setting as a tensor [P]: one value for all members, or one each (algos.members.stacked)."""
        values = value if isinstance(value, Sequence) else [value] * self.members
        return torch.tensor(values, dtype=torch.get_default_dtype(), device=self.device)

    def generators(self, stream: int) -> list[torch.Generator]:
        """One generator per member, seeded by (seed, stream); on the CPU, so that every device starts from the same numbers."""
        return [torch.Generator().manual_seed((seed * 0x9E3779B97F4A7C15 + stream) % 2**63) for seed in self.seeds]

    @property
    def parameters(self) -> int:
        """Trained parameters per member, critics included."""
        return sum(p[0].numel() for p in self.policy().values())

    @torch.no_grad()
    def train(self, start: int, stop: int) -> Metrics:
        """Do updates number `start` to `stop` - 1 on `self.state`; return the metrics of the last one."""
        metrics: Metrics = {}
        for t in range(start, stop):
            self.before(t)
            metrics = self.engine(self.phase(t), self.draws(t))
        return {name: value.clone() for name, value in metrics.items()}  # an engine may overwrite its own

    def before(self, update: int) -> None:  # noqa: B027 (optional)
        """Work before update number `update` that no engine records, such as refreshing a table; changes `self.state` in place."""

    def phase(self, update: int) -> int:
        """The phase of update number `update`; all updates of one phase are the same operations."""
        return 0

    @abstractmethod
    def draws(self, update: int) -> Draws:
        """The random numbers of update number `update`."""

    @abstractmethod
    def step(self, phase: int, draws: Draws) -> Metrics:
        """One update of phase `phase`, in place on `self.state`. Reads nothing back to the host and draws no random number."""

    @abstractmethod
    def act(self, observations: Tensor) -> Tensor:
        """Evaluation (mean) actions [P, B, act] in the unit box for `observations` [P, B, obs]."""

    @property
    def noise_width(self) -> int:
        """Uniform random numbers that `act_sampled` needs for an action; 0 for a deterministic policy, which plays its mean."""
        return 0

    def act_sampled(self, observations: Tensor, uniform: Tensor) -> Tensor:
        """Actions [P, B, act] drawn from the policies with `uniform` [P, B, noise_width], float64 numbers in (0, 1)."""
        return self.act(observations)

    def checkpoint(self, done: int) -> State:
        """The state after `done` updates that training resumes from, or less of it where the rest follows."""
        return self.state

    @property
    def writes(self) -> bool:
        """True if `write` answers whole prompts."""
        return False

    def write(self, prompts: Tensor, lengths: Tensor, end: int, noise: Callable[[Tensor], Tensor] | None = None) -> Tensor:
        """Prompts with their answers [P, B, context], token by token as with `act`, or with `act_sampled` if there is `noise`
        (algos/networks/token_policy.py)."""
        raise TypeError(f"{type(self).__name__} writes no token sequences")

    def frozen(self) -> Algo:
        """A copy with the present policy, which training does not change, to act with."""
        found = copy(self)
        found.state = {name: value.clone() for name, value in self.state.items()}
        return found

    @abstractmethod
    def diagnostics(self) -> Metrics:
        """Metrics that are computed at every evaluation."""

    @abstractmethod
    def policy(self) -> dict[str, Tensor]:
        """The named parameters of the policy, each [P, ...]: views of `state`."""

    def load_policy(self, parameters: Mapping[str, Tensor]) -> None:
        """Replace the policy by `parameters`, named and shaped as `policy` returns them."""
        for name, own in self.policy().items():
            own.copy_(parameters[name])
