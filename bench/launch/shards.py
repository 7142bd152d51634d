"""The shards of a suite, one data set and one method each, and the hours that each takes on this machine."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from typing import NamedTuple

import torch

from algos.registry import build_untrained
from bench.config.compose import compose, sweep_overrides
from bench.config.schema import Config
from bench.launch.sweep import split
from bench.speed.child import Stopwatch
from bench.speed.measure import check_quiet
from bench.speed.workload import Work, rhythm
from bench.storage.identity import evaluations
from bench.storage.layout import digest_of
from bench.training.device import apply_engine, device_of
from bench.training.evaluate import play
from bench.training.parallel import build_population, processes_for
from bench.training.shared import Shared
from envs.data.logged_data import LoggedData
from envs.readers.obtain import ensure

SECONDS = 1.5  # of measured updates, for each method
EPISODE_STEPS = 1_000  # of an episode, at most
HOUR = 3600.0


class Shard(NamedTuple):
    """One job of a suite: member-updates per second, and hours of training and, at most, of evaluation."""

    config: Config
    rate: float
    training: float
    evaluation: float


def jobs_of(arguments: Sequence[str]) -> list[Config]:
    """The checked configuration of every job of `python -m bench ARGUMENTS`."""
    return [compose(job) for job in split(sweep_overrides(arguments))]


def shards(arguments: Sequence[str], say: Callable[[str], None]) -> list[Shard]:
    """The shards of `python -m bench ARGUMENTS`, timed on its first data set.

    Each method is trained for SECONDS; methods whose settings differ between data sets are timed with each. Wider observations than those
    of the first data set cost a few per cent more. Training of pi_ref is BC's. Raises the errors of the run.
    """
    configs = jobs_of(arguments)
    ensure(configs[0].dataset)
    rates: dict[str, float] = {}
    with Shared() as shared:
        data = shared.run_data(configs[0])
        check_quiet(say)
        say(f"measuring on {configs[0].dataset}: an evaluation, then each method for {SECONDS:g} s")
        steps = steps_per_second(configs[0], data, shared)
        for config in configs:
            if (key := digest_of((config.algo.determinants(), len(config.seeds)))) not in rates:
                rates[key] = member_updates_per_second(config, data, say)
    return [_shard(config, rates[digest_of((config.algo.determinants(), len(config.seeds)))], steps) for config in configs]


def _shard(config: Config, rate: float, steps: float) -> Shard:
    protocol = {
        "updates": config.algo.updates, "eval_every": config.eval.every, "eval_episodes": config.eval.episodes,
        "final_episodes": config.eval.final_episodes,
    }  # fmt: skip
    episodes = 0 if config.env_choice.without else sum(own for _, own, _ in evaluations(protocol))
    longest = config.eval.max_episode_steps or EPISODE_STEPS
    members = len(config.seeds)
    return Shard(config, rate, members * config.algo.updates / rate / HOUR, members * episodes * longest / steps / HOUR)


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
    """Head and rows of the table of shards, and their sum."""
    rows = [["dataset=", "algo=", "seeds", "updates", "member-updates/s", "hours, training", "evaluation, at most", "together, at most"]]
    for shard in found:
        config, hours = shard.config, (shard.training, shard.evaluation, shard.training + shard.evaluation)
        numbers = [str(len(config.seeds)), f"{config.algo.updates:,}", f"{shard.rate:.4g}"]
        rows.append([config.dataset, config.algo.name, *numbers, *(f"{h:.2f}" for h in hours)])
    sums = [sum(s.training for s in found), sum(s.evaluation for s in found)]
    return [*rows, ["all", "", "", "", "", *(f"{h:.1f}" for h in (*sums, sum(sums)))]]
