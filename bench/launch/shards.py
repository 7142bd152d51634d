"""The shards of a suite, one data set and one method each, and the hours that each takes on this machine."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import NamedTuple

import torch

from algos.registry import build_untrained
from bench.config.compose import compose, sweep_overrides
from bench.config.schema import Config
from bench.launch.sweep import split
from bench.speed.child import Stopwatch
from bench.speed.measure import check_quiet
from bench.speed.online import WARM, rate, suite
from bench.speed.workload import Work, rhythm
from bench.storage.identity import evaluations
from bench.storage.layout import digest_of
from bench.training.device import apply_engine, device_of
from bench.training.evaluate import play
from bench.training.online import check_online
from bench.training.parallel import build_population, processes_for
from bench.training.shared import Shared
from envs.data.logged_data import LoggedData
from envs.readers.obtain import ensure

SECONDS = 1.5  # of measured updates, for each method; of measured steps, for each kind of step of an online phase
EPISODE_STEPS = 1_000  # of an episode, at most
HOUR = 3600.0


class Shard(NamedTuple):
    """One job of a suite: member-updates per second, and hours of training, of its online phase and, at most, of evaluation.

    rate: NaN for a method without offline updates.
    """

    config: Config
    rate: float
    training: float
    evaluation: float
    online: float = 0.0

    @property
    def together(self) -> float:
        """Hours of all parts."""
        return self.training + self.online + self.evaluation


def jobs_of(arguments: Sequence[str]) -> list[Config]:
    """The checked configuration of every job of `python -m bench ARGUMENTS`."""
    return [compose(job) for job in split(sweep_overrides(arguments))]


def shards(arguments: Sequence[str], say: Callable[[str], None]) -> list[Shard]:
    """The shards of `python -m bench ARGUMENTS`, timed on its first data set.

    Each method is trained for SECONDS; methods whose settings differ between data sets are timed with each. Wider observations than those
    of the first data set cost a few per cent more. So are steps of an online phase, with their updates, in that data set's environment.
    Training of pi_ref is BC's. Raises the errors of the run.
    """
    configs = jobs_of(arguments)
    ensure(configs[0].dataset)
    rates: dict[str, float] = {}
    phases: dict[str, float] = {}
    with Shared() as shared:
        data = shared.run_data(configs[0])
        check_quiet(say)
        say(f"measuring on {configs[0].dataset}: an evaluation, then each method for {SECONDS:g} s")
        steps = steps_per_second(configs[0], data, shared)
        for config in configs:
            if (key := _settings(config)) not in rates:
                rates[key] = member_updates_per_second(config, data, say) if config.algo.updates else math.nan
            if (phase := _settings(config, config.online.determinants())) not in phases:
                phases[phase] = online_hours(config, data)
    return [_shard(c, rates[_settings(c)], steps, phases[_settings(c, c.online.determinants())]) for c in configs]


def _settings(config: Config, *more: object) -> str:
    """A digest of what the speed of a job depends on."""
    return digest_of((config.algo.determinants(), len(config.seeds), *more))


def _shard(config: Config, rate: float, steps: float, online: float = 0.0) -> Shard:
    protocol = {
        "updates": config.algo.updates + config.online.steps, "eval_every": config.eval.every, "eval_episodes": config.eval.episodes,
        "final_episodes": config.eval.final_episodes, "actions": config.eval.actions, "online_steps": config.online.steps,
        "online_every": config.online.every or config.eval.every,
    }  # fmt: skip
    episodes = 0 if config.env_choice.without else sum(own for _, own, _ in evaluations(protocol))
    longest = config.eval.max_episode_steps or EPISODE_STEPS
    members = len(config.seeds)
    training = members * config.algo.updates / rate / HOUR if config.algo.updates else 0.0
    return Shard(config, rate, training, members * episodes * longest / steps / HOUR, online)


def online_hours(config: Config, data: LoggedData) -> float:
    """Hours of the online phase of `config`: steps of all members, with their updates, timed apart in the warm-up and behind it."""
    online, members = config.online, len(config.seeds)
    check_online(config, data, members)
    warm = min(online.warmup, online.steps)
    hours = 0.0
    for count, warmup in ((warm, online.steps), (online.steps - warm, 0)):
        if count:
            train, _ = suite(replace(config, online=replace(online, warmup=warmup)), data, members)
            train(WARM)
            hours += count / rate(train, SECONDS) / HOUR
    return hours


def member_updates_per_second(config: Config, data: LoggedData, say: Callable[[str], None]) -> float:
    """Updates per second of the run of `config`, times its members."""
    device, seeds = device_of(config.device), list(config.seeds)
    trajectories = data.trajectories.to(device)

    def make(own: slice):  # type: ignore[no-untyped-def]
        algo = build_untrained(config.algo, trajectories, seeds[own])
        apply_engine(algo, config, say)
        return algo

    algo = build_population(make, len(seeds), 1, processes_for(config, device, len(seeds)))
    cycle, rare = rhythm(config.algo)
    return len(seeds) * Stopwatch(Work(algo.train, cycle, rare), device.type, after=cycle).rate(SECONDS)


def steps_per_second(config: Config, data: LoggedData, shared: Shared) -> float:
    """Environment steps per second in an evaluation of untrained policies of all seeds of `config`; infinite without an environment."""
    if not data.env_spec:
        return float("inf")
    algo = build_untrained(config.algo, data.trajectories.to(torch.device("cpu")), list(config.seeds))
    environments = shared.evaluator(data.env_spec, config.eval.workers)
    play(algo, data, environments, 0, 1, lambda: None)  # starts the environments
    started = time.perf_counter()
    played = play(algo, data, environments, 0, 4, lambda: None)
    return float(played.lengths.sum()) / (time.perf_counter() - started)


def table(found: Sequence[Shard]) -> list[list[str]]:
    """Head and rows of the table of shards, and their sum; with columns of the online phase if a shard has one."""
    online = any(s.config.online.steps for s in found)
    head = [
        "dataset=",
        "algo=",
        "seeds",
        "updates",
        "member-updates/s",
        *["online steps"] * online,
        "hours, training",
        *["online"] * online,
    ]
    rows = [[*head, "evaluation, at most", "together, at most"]]
    for shard in found:
        config, speed = shard.config, "-" if math.isnan(shard.rate) else f"{shard.rate:.4g}"
        numbers = [str(len(config.seeds)), f"{config.algo.updates:,}", speed, *[f"{config.online.steps:,}"] * online]
        rows.append([config.dataset, config.algo.name, *numbers, *(f"{h:.2f}" for h in _hours(shard, online))])
    sums = (sum(column) for column in zip(*(_hours(shard, online) for shard in found), strict=True))
    return [*rows, ["all", *[""] * (5 if online else 4), *(f"{h:.1f}" for h in sums)]]


def _hours(shard: Shard, online: bool) -> list[float]:
    return [shard.training, *[shard.online] * online, shard.evaluation, shard.together]
