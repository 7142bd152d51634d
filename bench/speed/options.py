"""Options of `python -m bench speed`, given as key=value."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, fields
from pathlib import Path
from typing import TypeVar, cast

import torch
from omegaconf import OmegaConf
from omegaconf.errors import OmegaConfBaseException

from algos.errors import ConfigError, require
from algos.networks.token_policy import check_widths
from algos.networks.transformer import HEAD
from bench.config.expected import expected
from bench.config.schema import DEVICE, DEVICES
from bench.errors import require_folder
from bench.speed.yardstick import TRAINERS
from bench.training.choice import precision_of_long, precision_on
from bench.training.device import PRECISIONS, device_of, use_gpu
from envs.cores import available_cores
from envs.data.environments import find_spec
from envs.evaluation.stepper import stepper_of

ENGINES = ("eager", "compiled", "captured")
ONLINE = ("iql", "td3_bc")  # methods with a loop to compare with that go on online


@dataclass
class Options:
    """Options of every measurement."""

    dataset: str = "iwsft/hopper/medium-replay-v0"
    device: str = "auto"  # auto | cpu | cuda | cuda:N
    engine: str = "auto"  # of the suite's updates: auto | eager | compiled | captured
    precision: str = "float32"  # of matrix products: auto (that of a long run) | float32 | tf32 | bf16
    threads: int | None = None  # of the process that trains; null: one per core
    batch: int = 256
    hidden: list[int] = field(default_factory=lambda: [256, 256])

    def check(self) -> None:
        """Raise ConfigError for a value that cannot be used."""
        require(bool(DEVICE.fullmatch(self.device)), "device", self.device, DEVICES)
        require(self.engine in ("auto", "eager", "compiled", "captured"), "engine", self.engine, "auto, eager, compiled or captured")
        require(self.precision in ("auto", *PRECISIONS), "precision", self.precision, f"one of auto, {', '.join(PRECISIONS)}")
        require(self.threads is None or self.threads > 0, "threads", self.threads, "a positive number, or null for all cores")
        require(self.batch > 0, "batch", self.batch, "a positive number")
        require(bool(self.hidden) and min(self.hidden) > 0, "hidden", list(self.hidden), "positive layer widths")
        self.device = use_gpu(device_of(self.device))
        if self.precision == "auto":
            self.precision = precision_of_long(torch.device(self.device), self.batch, self.hidden)
        found = precision_on(torch.device(self.device), self.precision)
        require(found == self.precision, "precision", self.precision, f"{found}, because another is no faster on this processor")
        self.threads = self.threads or available_cores()

    @property
    def all_threads(self) -> int:
        assert self.threads is not None
        return self.threads


@dataclass
class Measured(Options):
    """Options of the timed commands."""

    rounds: int = 3  # each measures every setting once
    seconds: float = 1.5  # per measurement
    out: str = "results/speed"  # folder of the results

    def check(self) -> None:
        super().check()
        require(self.rounds > 0, "rounds", self.rounds, "a positive number")
        require(self.seconds > 0, "seconds", self.seconds, "a positive number")

    @property
    def folder(self) -> Path:
        return Path(self.out)


@dataclass
class MeasureOptions(Measured):
    """Options of `python -m bench speed`."""

    precision: str = "auto"
    methods: list[str] = field(default_factory=lambda: list(TRAINERS))
    members: list[int] = field(default_factory=lambda: [1, 4, 16, 64])
    after: int = 0  # updates before the first measured one, of the suite and the yardstick

    def check(self) -> None:
        super().check()
        require(self.after >= 0, "after", self.after, "a number of at least 0")
        require(bool(self.methods) and set(self.methods) <= set(TRAINERS), "methods", list(self.methods), f"some of {', '.join(TRAINERS)}")
        require(bool(self.members) and min(self.members) > 0, "members", list(self.members), "positive numbers")


@dataclass
class EngineOptions(Options):
    """Options of `python -m bench speed engines`."""

    methods: list[str] = field(default_factory=lambda: ["iql", "bc"])
    members: list[int] = field(default_factory=lambda: [1, 4, 16, 64, 256])
    engines: list[str] = field(default_factory=lambda: ["captured", "compiled", "eager"])  # the first one with all members
    precisions: list[str] = field(default_factory=lambda: ["float32", "tf32", "bf16"])
    seconds: float = 0.6  # per setting
    limit: float = 240.0  # seconds after which no further setting is measured
    out: str = "results/speed"  # folder of the results

    def check(self) -> None:
        super().check()
        require(bool(self.methods) and set(self.methods) <= set(TRAINERS), "methods", list(self.methods), f"some of {', '.join(TRAINERS)}")
        require(bool(self.members) and min(self.members) > 0, "members", list(self.members), "positive numbers")
        require(bool(self.engines) and set(self.engines) <= set(ENGINES), "engines", list(self.engines), f"some of {', '.join(ENGINES)}")
        known = [p for p in PRECISIONS if precision_on(torch.device(self.device), p) == p]
        require(
            bool(self.precisions) and set(self.precisions) <= set(known), "precisions", list(self.precisions), f"some of {', '.join(known)}"
        )
        require(self.seconds > 0, "seconds", self.seconds, "a positive number")
        require(self.limit > 0, "limit", self.limit, "a positive number of seconds")

    @property
    def folder(self) -> Path:
        return Path(self.out)


@dataclass
class ScaleOptions(Measured):
    """Options of `python -m bench speed scale`: each list is a curve; the other settings stay at `batch`, `hidden` and `at`."""

    algo: str = "iql"
    at: int = 4  # members on the curves of batch, width and steps
    members: list[int] = field(default_factory=lambda: [1, 2, 4, 8, 16, 32, 64])
    batches: list[int] = field(default_factory=lambda: [64, 128, 256, 512, 1024])
    widths: list[int] = field(default_factory=lambda: [64, 128, 256, 512, 1024])
    steps: list[int] = field(default_factory=lambda: [10_000, 100_000, 1_000_000, 4_000_000])  # of data
    methods: list[str] = field(
        default_factory=lambda: [
            "bc", "filtered_bc", "sft", "sft_q", "iw_sft", "iw_sft_q", "awac", "iql", "td3_bc", "rebrac", "cql", "edac",
        ]
    )  # fmt: skip
    seeds: int = 10  # members on the curve of methods, each with its own batch and widths
    evaluation: str | None = "iwsft/halfcheetah/medium-replay-v0"  # evaluation is timed in its environment; null skips that

    def check(self) -> None:
        super().check()
        for name in ("members", "batches", "widths", "steps"):
            values = getattr(self, name)
            require(all(x > 0 for x in values), name, list(values), "positive numbers")
        require(self.at > 0, "at", self.at, "a positive number")
        require(self.seeds > 0, "seeds", self.seeds, "a positive number")


@dataclass
class ProfileOptions(Options):
    """Options of `python -m bench speed profile`."""

    algo: str = "iql"
    members: int = 4
    updates: int = 50

    def check(self) -> None:
        super().check()
        require(self.members > 0, "members", self.members, "a positive number")
        require(self.updates > 0, "updates", self.updates, "a positive number")


@dataclass
class EvaluationOptions:
    """Options of `python -m bench speed evaluation`."""

    tasks: list[str] = field(default_factory=lambda: ["Hopper-v5", "HalfCheetah-v5", "Walker2d-v5", "Ant-v5"])
    environments: list[int] = field(default_factory=lambda: [1, 16, 64, 256])  # side by side
    members: int = 4  # whose policies play, at most one for each environment
    hidden: list[int] = field(default_factory=lambda: [256, 256])
    threads: int | None = None  # threads or processes that step environments, and torch's threads; null: one per core
    steps: int = 12_800  # of all environments in a measurement
    length: int = 200  # steps of an episode, at most
    rounds: int = 3  # each measures every kind once
    out: str = "results/speed"  # folder of the results

    def check(self) -> None:
        """Raise ConfigError for a value that cannot be used."""
        for name in ("members", "steps", "length", "rounds"):
            require(getattr(self, name) > 0, name, getattr(self, name), "a positive number")
        require(bool(self.tasks), "tasks", self.tasks, "environments by id, as in tasks=[Hopper-v5]")
        require(bool(self.environments) and min(self.environments) > 0, "environments", list(self.environments), "positive numbers")
        require(bool(self.hidden) and min(self.hidden) > 0, "hidden", list(self.hidden), "positive layer widths")
        require(self.threads is None or self.threads > 0, "threads", self.threads, "a positive number, or null for all cores")
        for task in self.tasks:
            require(
                stepper_of(find_spec(task).to_json(), self.threads) == "threads", "tasks", task, "a task that threads step (docs/speed.md)"
            )
        self.threads = self.threads or available_cores()

    @property
    def all_threads(self) -> int:
        assert self.threads is not None
        return self.threads

    @property
    def folder(self) -> Path:
        return Path(self.out)


@dataclass
class OnlineOptions(Measured):
    """Options of `python -m bench speed online`."""

    device: str = "cpu"
    methods: list[str] = field(default_factory=lambda: list(ONLINE))
    members: list[int] = field(default_factory=lambda: [1, 2, 4])
    updates: int = 1  # after each environment step

    def check(self) -> None:
        super().check()
        require(self.device == "cpu", "device", self.device, "cpu")
        require(bool(self.methods) and set(self.methods) <= set(ONLINE), "methods", list(self.methods), f"some of {', '.join(ONLINE)}")
        require(bool(self.members) and min(self.members) > 0, "members", list(self.members), "positive numbers")
        require(self.updates > 0, "updates", self.updates, "a positive number")


@dataclass
class LanguageOptions(Measured):
    """Options of `python -m bench speed language`."""

    dataset: str = "iwsft/addition/mixed-v0"
    batch: int = 32  # sequences of an update, and prompts that are answered at once
    hidden: list[int] = field(default_factory=lambda: [64, 64])  # widths of the blocks
    members: list[int] = field(default_factory=lambda: [1, 4, 16])

    def check(self) -> None:
        super().check()
        require(check_widths(self.hidden), "hidden", list(self.hidden), f"equal widths of blocks, a multiple of {HEAD} each")
        require(bool(self.members) and min(self.members) > 0, "members", list(self.members), "positive numbers")


@dataclass
class EstimateOptions:
    """Options of `python -m bench speed estimate`."""

    out: str = "results/speed"  # folder of the curves

    def check(self) -> None:
        """Accept every folder."""

    @property
    def folder(self) -> Path:
        return Path(self.out)


@dataclass
class DataOptions:
    """Options of `python -m bench speed data`."""

    steps: int = 1_000_000
    length: int = 1000  # steps per episode

    def check(self) -> None:
        """Raise ConfigError for a value that cannot be used."""
        require(0 < self.length <= self.steps, "length", self.length, f"1 to steps = {self.steps}")


T = TypeVar("T", bound=Options | EvaluationOptions | EstimateOptions | DataOptions)


def parse(kind: type[T], arguments: Sequence[str]) -> T:
    """Checked options of `kind` from `key=value` arguments. Raises ConfigError for an unknown key or a value that cannot be used."""
    known = [f.name for f in fields(kind)]
    for argument in arguments:
        key, equals, _ = argument.partition("=")
        if not equals or key not in known:
            raise ConfigError(f"'{argument}': expected key=value with a key out of {', '.join(known)}")
    try:
        options = cast(T, OmegaConf.to_object(OmegaConf.merge(OmegaConf.structured(kind), OmegaConf.from_dotlist(list(arguments)))))
    except OmegaConfBaseException as error:
        key = (error.full_key or "").partition("[")[0]  # of a list's item, the list's
        given = next((a for a in reversed(arguments) if a.startswith(f"{key}=")), key)
        raise ConfigError(expected(str(error.msg), given)) from error
    if out := getattr(options, "out", ""):
        require_folder("out", Path(out))
    options.check()
    return options
