"""Every key of the configuration, with its type and meaning. conf/ mirrors these classes; anything else in it is refused."""

from __future__ import annotations

import re
from dataclasses import dataclass, field, fields
from typing import Any

from omegaconf import MISSING

from algos.base import MethodConfig
from algos.batches.sampling import LengthWeighting, Sampler
from algos.errors import require, require_positive
from algos.methods.weighted_bc import WeightedBCConfig

PLAIN_NAME = re.compile(r"\w[\w.+-]{0,99}")


@dataclass
class EvalConfig:
    """When and how policies are evaluated: mean actions, episodes and their seeds fixed in advance."""

    every: int = 500  # updates between evaluations
    episodes: int = 10  # a seed, at each of them
    final_episodes: int = 100  # a seed, after the last update; at least `episodes`
    last_k: int = 3  # evaluations that selection mean_last_k averages
    workers: int | None = None  # processes that step environments; all cores if null
    overlap: bool = False  # train on while a policy is played: where a GPU trains, the cores are free

    def check(self) -> None:
        for name in ("every", "episodes", "final_episodes", "last_k"):
            require(getattr(self, name) > 0, f"eval.{name}", getattr(self, name), "a positive number")
        require(
            self.final_episodes >= self.episodes, "eval.final_episodes", self.final_episodes, f"at least eval.episodes = {self.episodes}"
        )
        require(self.workers is None or self.workers > 0, "eval.workers", self.workers, "a positive number, or null for all cores")


@dataclass
class LoggerConfig:
    """Back ends beside the run directory; logger=NAME or logger=[NAME,NAME] turns them on."""

    jsonl: bool = False  # log.jsonl in the run directory
    tensorboard: bool = False  # event files there
    wandb: bool = False  # Weights & Biases, offline where there is no account
    project: str = "iwsft-bench"  # wandb's
    entity: str | None = None  # wandb's; the account's own if null
    artifact: bool = True  # wandb gets the checkpoint and the policies too


@dataclass
class TrainerConfig:
    """How a population is trained: speed and safety. Only `precision` changes results (by rounding)."""

    engine: str = "auto"  # auto | eager | compiled (torch.compile) | captured (CUDA graphs, the choice of auto on a GPU)
    precision: str = "float32"  # of matrix products in training: float32 | tf32 | bf16 (bench/training/device.py)
    processes: int | None = None  # processes that train a population's members on a CPU; null: one per core
    checkpoint_minutes: float = 5.0  # minutes between checkpoints
    max_members: int | None = None  # members of one population; null: as many as fit the device

    def check(self) -> None:
        require(
            self.engine in ("auto", "eager", "compiled", "captured"), "trainer.engine", self.engine, "auto, eager, compiled or captured"
        )
        require(self.precision in ("float32", "tf32", "bf16"), "trainer.precision", self.precision, "float32, tf32 or bf16")
        require(
            self.processes is None or self.processes > 0, "trainer.processes", self.processes, "a positive number, or null for one per core"
        )
        require(self.checkpoint_minutes >= 0, "trainer.checkpoint_minutes", self.checkpoint_minutes, "a number of at least 0")
        limit = self.max_members
        require(limit is None or limit > 0, "trainer.max_members", limit, "a positive number, or null for as many as fit the device")


@dataclass
class ReportConfig:
    """Options of the tables that a suite writes at its end."""

    mixed: bool = False  # one table per protocol when runs of one suite differ in it, instead of an error
    published: bool = False  # add tables of published scores on the same tasks


@dataclass
class PiRefConfig:
    """Training of pi_ref, the policy that fine-tuning starts from and that importance weights compare with: behaviour cloning of all data.

    `algo=bc` and `algo=filtered_bc` take their training from here as well, so that a BC run is the pi_ref of the other methods.
    """

    updates: int = 10_000
    learning_rate: float = 1e-3
    batch_size: int = 256  # transitions, or whole trajectories, by `sampler`
    sampler: Sampler = Sampler.transitions
    length_weighting: LengthWeighting = LengthWeighting.per_step
    dataset: str | None = None  # that pi_ref is trained on; the run's own if null

    def algo(self, hidden: list[int]) -> WeightedBCConfig:
        """The method that trains it, with hidden layers of the widths `hidden`."""
        training = {f.name: getattr(self, f.name) for f in fields(self) if f.name != "dataset"}
        return WeightedBCConfig("bc", hidden=list(hidden), **training)

    def check(self) -> None:
        self.algo([1]).check("pi_ref")


@dataclass
class FinetuneConfig:
    """Training that starts from pi_ref. conf/algo refers to it, so that a suite sets it for all such methods at once."""

    learning_rate: float = 4e-5

    def check(self) -> None:
        require_positive(self, "finetune", "learning_rate")


@dataclass
class Config:
    """One run: a population of `seeds` of one method on one data set."""

    algo: MethodConfig = MISSING  # a method's settings (algos/methods/), chosen by algo=NAME
    dataset: str = "iwsft/hopper/medium-replay-v0"  # any id, or an expression of them (envs/data/selection.py)
    seeds: list[int] = field(default_factory=lambda: [0, 1, 2])
    suite: str = "single"  # results go to <results_dir>/<suite>
    eval: EvalConfig = field(default_factory=EvalConfig)
    logger: LoggerConfig = field(default_factory=LoggerConfig)
    device: str = "auto"  # auto | cpu | cuda
    results_dir: str = "results"
    force: bool = False  # run again what is finished
    population: dict[str, Any] = field(default_factory=dict)  # lists of values of settings of algo: one run for each combination
    pi_ref: PiRefConfig = field(default_factory=PiRefConfig)
    finetune: FinetuneConfig = field(default_factory=FinetuneConfig)
    trainer: TrainerConfig = field(default_factory=TrainerConfig)
    report: ReportConfig = field(default_factory=ReportConfig)

    def check(self) -> None:
        """Raise ConfigError for a value that cannot be used."""
        seeds = list(self.seeds)
        require(bool(seeds), "seeds", seeds, "at least one seed")
        require(all(s >= 0 for s in seeds), "seeds", seeds, "seeds of at least 0")
        require(len(set(seeds)) == len(seeds), "seeds", seeds, "each seed once")
        require(self.device in ("auto", "cpu", "cuda"), "device", self.device, "auto, cpu or cuda")
        for key, name in (("suite", self.suite), ("algo.name", self.algo.name)):  # they name folders and files
            require(bool(PLAIN_NAME.fullmatch(name)), key, name, "a plain name: letters, digits, and _ . + - behind the first")
        self.pi_ref.check()
        self.finetune.check()
        self.eval.check()
        self.trainer.check()
        self.algo.check("algo")

    @property
    def pi_ref_algo(self) -> WeightedBCConfig:
        """The method that trains pi_ref for `algo`: behaviour cloning of all data by a network of the same widths."""
        return self.pi_ref.algo(self.algo.hidden)
