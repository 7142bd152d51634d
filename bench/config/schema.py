"""Every key of the configuration: type, default, meaning and check. conf/ mirrors these classes; other keys are refused.

`python -m bench --help` prints the comments.
"""

from __future__ import annotations

import re
from dataclasses import asdict, dataclass, field, fields
from typing import Any

from omegaconf import MISSING

from algos.base import MethodConfig
from algos.batches.sampling import LengthWeighting, Sampler
from algos.errors import ConfigError, require, require_positive
from algos.methods.weighted_bc import Network, WeightedBCConfig
from algos.registry import evaluates_policies, goes_online
from bench.config.choices import online_methods
from bench.config.estimates import CHOSEN_BY, OBJECTIVES
from bench.config.limits import PI_REF_UPDATES
from bench.config.redact import SHOWN, is_key
from envs.data.env_choice import EnvChoice

ENV_ID = re.compile(r"[\w:./-]{1,200}")  # of Gymnasium: [module:][namespace/]name[-vN]
DEVICE = re.compile(r"auto|cpu|cuda(:\d{1,3})?")
DEVICES = "auto, cpu, cuda, or cuda:N for the GPU number N"
PLAIN_NAME = re.compile(r"\w[\w.+-]{0,99}")


@dataclass
class EvalConfig:
    """Evaluation of policies in episodes whose seeds are fixed in advance. Sampled actions have noise that is fixed by seed and step."""

    every: int = 500  # updates between evaluations
    episodes: int = 10  # episodes per seed at each evaluation
    final_episodes: int = 100  # episodes per seed after the last update; at least eval.episodes
    last_k: int = 3  # evaluations that the selection rule mean_last_k averages
    actions: str = "mean"  # that policies play: mean | sampled | both (the mean; after the last update sampled ones as well)
    max_episode_steps: int | None = None  # steps after which an episode is cut off; null: the data set's or the environment's
    workers: int | None = None  # threads or processes that step environments; null: one per core
    keep_policies: bool = False  # keep the policies of every evaluation, so that `best` and `mean_last_k` can be verified; one file each
    overlap: bool | None = None  # continue training during an evaluation; null: where training leaves a core free, as on a GPU

    def check(self) -> None:
        for name in ("every", "episodes", "final_episodes", "last_k"):
            require(getattr(self, name) > 0, f"eval.{name}", getattr(self, name), "a positive number")
        require(
            self.final_episodes >= self.episodes, "eval.final_episodes", self.final_episodes, f"at least eval.episodes = {self.episodes}"
        )
        require(self.actions in ("mean", "sampled", "both"), "eval.actions", self.actions, "mean, sampled or both")
        limit = self.max_episode_steps
        require(limit is None or limit > 0, "eval.max_episode_steps", limit, "a positive number, or null for the environment's own limit")
        require(self.workers is None or self.workers > 0, "eval.workers", self.workers, "a positive number, or null for all cores")


@dataclass
class LoggerConfig:
    """Back ends beside the run directory; logger=NAME or logger=[NAME,NAME] turns them on."""

    jsonl: bool = False  # write log.jsonl into the run directory
    tensorboard: bool = False  # write TensorBoard's event files into the run directory
    wandb: bool = False  # send to Weights & Biases; offline without an account
    project: str = "iwsft-bench"  # project at wandb
    entity: str | None = None  # user or team at wandb; null: the account's default
    artifact: bool = True  # send checkpoint and policies to wandb

    def check(self) -> None:
        for name in ("project", "entity"):
            value = getattr(self, name)
            require(
                value is None or not is_key(value), f"logger.{name}", SHOWN, "a name; a key belongs into the environment: WANDB_API_KEY"
            )


@dataclass
class TrainerConfig:
    """Execution of training on the machine. `precision` and `processes` change results by rounding only."""

    engine: str = "auto"  # auto (docs/speed.md) | eager | compiled (torch.compile) | captured (CUDA graphs, on a GPU)
    precision: str = "auto"  # of matrix products in training: auto (docs/speed.md) | float32 | tf32 | bf16
    processes: int | None = None  # processes that train the members on a CPU; null: one per core
    checkpoint_minutes: float = 5.0  # minutes between checkpoints
    max_members: int | None = None  # members of one population; null: 16 on a CPU, no limit on a GPU

    def check(self) -> None:
        require(
            self.engine in ("auto", "eager", "compiled", "captured"), "trainer.engine", self.engine, "auto, eager, compiled or captured"
        )
        require(self.precision in ("auto", "float32", "tf32", "bf16"), "trainer.precision", self.precision, "auto, float32, tf32 or bf16")
        require(
            self.processes is None or self.processes > 0, "trainer.processes", self.processes, "a positive number, or null for one per core"
        )
        require(self.checkpoint_minutes >= 0, "trainer.checkpoint_minutes", self.checkpoint_minutes, "a number of at least 0")
        limit = self.max_members
        require(limit is None or limit > 0, "trainer.max_members", limit, "a positive number, or null for the device's default")


@dataclass
class ReportConfig:
    """Options of the tables that a suite writes at its end."""

    mixed: bool = False  # one table per protocol when runs of one suite differ in it, instead of an error
    published: bool = False  # add tables of published scores on the same tasks
    mix_marked: bool = False  # average and rank rows that still rise, or had few updates, together with the others
    yardstick: bool = False  # measure the machine's speed for 2 s, for costs.md
    configs_tried: dict[str, int] = field(default_factory=dict)  # configurations tried of a method, where runs of it are gone: {sft: 2}

    chosen_by: dict[str, str] = field(
        default_factory=dict
    )  # what a method's configuration was chosen by: {sft: environment}, or an estimate

    def check(self) -> None:
        for name, number in self.configs_tried.items():
            require(number > 0, f"report.configs_tried.{name}", number, "a positive number")
        for name, what in self.chosen_by.items():
            require(what in CHOSEN_BY, f"report.chosen_by.{name}", what, f"one of {', '.join(CHOSEN_BY)}")


@dataclass
class PiRefConfig:
    """Training of pi_ref, the policy that fine-tuning starts from and that importance weights compare with: behaviour cloning of all data.

    `algo=bc` and `algo=filtered_bc` take their training from here as well, so that a BC run is the pi_ref of the other methods.
    """

    updates: int = PI_REF_UPDATES  # updates of pi_ref's training
    learning_rate: float = 1e-3  # of Adam
    batch_size: int = 256  # transitions or whole trajectories, see sampler
    sampler: Sampler = Sampler.transitions  # transitions | trajectories
    length_weighting: LengthWeighting = LengthWeighting.per_step  # what counts the same: per_step | per_episode
    dataset: str | None = None  # data set that pi_ref is trained on; null: the run's own

    def algo(self, hidden: list[int], policy: Network = Network.mlp) -> WeightedBCConfig:
        """The configuration of pi_ref's training, with hidden layers, or blocks, of the widths `hidden`."""
        training = {f.name: getattr(self, f.name) for f in fields(self) if f.name != "dataset"}
        return WeightedBCConfig("bc", hidden=list(hidden), policy=policy, **training)

    def check(self) -> None:
        self.algo([1]).check("pi_ref")


@dataclass
class FinetuneConfig:
    """Training that starts from pi_ref. conf/algo refers to it, so that a suite sets it for all such methods at once."""

    learning_rate: float = 4e-5  # of methods that start from pi_ref
    warmup: float = 0.0667  # share of their updates over which the learning rate rises from 0: 300 of 4500, as in the paper

    def check(self) -> None:
        require_positive(self, "finetune", "learning_rate")
        require(0 <= self.warmup < 1, "finetune.warmup", self.warmup, "a share of the updates, from 0 up to, not including, 1")


@dataclass
class OnlineConfig:
    """A second phase: each member goes on in an environment of its own, and learns from its own steps beside the logged ones."""

    steps: int = 0  # environment steps of each member after the offline updates; 0: no online phase (docs/online.md)
    stage: str = "own"  # what goes on: own (the method itself) | actor_critic (any Gaussian policy, by the updates of AWAC)
    updates: int = 1  # updates after each environment step
    offline_share: float = 0.5  # of each batch that is logged data; the rest are the member's own steps
    warmup: int = 0  # first environment steps, which the offline policy takes unchanged
    critic_updates: int = 0  # after each step of the warm-up: of the critic alone (awac, crr, actor_critic)
    buffer: int | None = None  # steps that a member keeps; null: all
    noise: float = 0.1  # standard deviation of a deterministic policy's exploration, in [-1, 1]; stochastic policies sample
    penalty: float = 0.5  # share of the penalties of td3_bc and rebrac that is left at the end; it falls linearly from 1
    every: int | None = None  # environment steps between evaluations; null: eval.every
    batch_size: int = 256  # of actor_critic
    critic_learning_rate: float = 1e-3  # of actor_critic

    @property
    def buffer_size(self) -> int:
        """Steps that a member keeps."""
        return self.steps if self.buffer is None else min(self.buffer, self.steps)

    def check(self) -> None:
        for name in ("steps", "warmup", "critic_updates"):
            require(getattr(self, name) >= 0, f"online.{name}", getattr(self, name), "a number of at least 0")
        require(self.stage in ("own", "actor_critic"), "online.stage", self.stage, "own or actor_critic")
        require_positive(self, "online", "updates", "batch_size", "critic_learning_rate")
        for name in ("offline_share", "penalty"):
            require(0 <= getattr(self, name) <= 1, f"online.{name}", getattr(self, name), "a number from 0 to 1")
        alone = self.stage == "actor_critic" and self.offline_share == 1
        require(not alone, "online.offline_share", self.offline_share, "below 1: actor_critic moves the policy to its own steps")
        require(0 <= self.noise < float("inf"), "online.noise", self.noise, "a finite number of at least 0")
        for name in ("buffer", "every"):
            value = getattr(self, name)
            require(value is None or value > 0, f"online.{name}", value, "a positive number of steps, or null")

    def determinants(self) -> dict[str, Any]:
        """The settings that the result depends on; none without an online phase."""
        return asdict(self) if self.steps else {}


@dataclass
class Config:
    """One run: a population of `seeds` of one method on one data set."""

    algo: MethodConfig = MISSING  # a method's settings (algos/methods/), chosen by algo=NAME
    dataset: str = "iwsft/hopper/medium-replay-v0"  # an id, or a selection such as A@top:5%+B (docs/data.md)
    seeds: list[int] = field(default_factory=lambda: [0, 1, 2])  # one member per seed; seeds=3 and seeds=0-2 are 0, 1 and 2
    env: str | None = None  # environment that policies are played in: an id such as Hopper-v5, none, or null for the data set's own
    suite: str = "single"  # runs and tables go to results_dir/suite; any name, or a choice above
    eval: EvalConfig = field(default_factory=EvalConfig)
    online: OnlineConfig = field(default_factory=OnlineConfig)
    logger: LoggerConfig = field(default_factory=LoggerConfig)
    device: str = "auto"  # auto | cpu | cuda | cuda:N, the GPU number N of this machine
    results_dir: str = "results"  # folder of all suites
    force: bool = False  # train finished runs again
    population: dict[str, Any] = field(default_factory=dict)  # settings of algo, each with a list of values: one run per combination
    pi_ref: PiRefConfig = field(default_factory=PiRefConfig)
    finetune: FinetuneConfig = field(default_factory=FinetuneConfig)
    trainer: TrainerConfig = field(default_factory=TrainerConfig)
    report: ReportConfig = field(default_factory=ReportConfig)
    objective: str = "environment"  # what a tuner maximises: environment (the score), or an estimate from the logged data such as fqe

    def check(self) -> None:
        """Raise ConfigError for a value that cannot be used."""
        seeds = list(self.seeds)
        require(bool(seeds), "seeds", seeds, "at least one seed")
        require(all(s >= 0 for s in seeds), "seeds", seeds, "seeds of at least 0")
        require(len(set(seeds)) == len(seeds), "seeds", seeds, "each seed once")
        require(bool(DEVICE.fullmatch(self.device)), "device", self.device, DEVICES)
        known = self.env is None or bool(ENV_ID.fullmatch(self.env))
        require(known, "env", self.env, "an environment's id such as Hopper-v5, none, or null for the data set's own")
        for key, name in (("suite", self.suite), ("algo.name", self.algo.name)):  # they name folders and files
            require(bool(PLAIN_NAME.fullmatch(name)), key, name, "a plain name: letters, digits, and _ . + - behind the first")
        self.pi_ref.check()
        self.finetune.check()
        self.eval.check()
        self.online.check()
        self.logger.check()
        self.trainer.check()
        self.report.check()
        require(self.objective in OBJECTIVES, "objective", self.objective, f"one of {', '.join(OBJECTIVES)}")
        self.algo.check("algo")
        if self.algo.needs_pi_ref:
            self.pi_ref_algo.check("pi_ref")
        self._check_online()

    def _check_online(self) -> None:
        """Raise ConfigError for an online phase that the method, or a run without an environment, cannot have."""
        online, name = self.online, self.algo.name
        if not online.steps:
            return
        what = f"online.steps = {online.steps}"
        require(not self.env_choice.without, what.split(" =")[0], online.steps, "0 with env=none: there is no environment to act in")
        if online.stage == "own" and not goes_online(self.algo):
            others = ", ".join(online_methods())
            raise ConfigError(f"{what}: {name} does not go on online by itself; {others} do, or online.stage=actor_critic with its policy")
        critics = online.stage == "actor_critic" or evaluates_policies(self.algo)
        require(critics or not online.critic_updates, "online.critic_updates", online.critic_updates, f"0: {name} has no such updates")
        expected = f"a number below online.steps = {online.steps}: no policy learns in the warm-up"
        require(online.warmup < online.steps, "online.warmup", online.warmup, expected)

    @property
    def env_choice(self) -> EnvChoice:
        """The environment that policies are played in."""
        return EnvChoice(self.env, self.eval.max_episode_steps)

    @property
    def task(self) -> str:
        """The name of the run's row in tables: its data set, and the environment where it is not the data set's own."""
        return self.env_choice.label(self.dataset)

    @property
    def pi_ref_algo(self) -> WeightedBCConfig:
        """The method that trains pi_ref for `algo`: behaviour cloning of all data by a network of the same widths."""
        return self.pi_ref.algo(self.algo.hidden, getattr(self.algo, "policy", Network.mlp))
