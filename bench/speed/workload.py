"""A workload (method, members, batch, widths, amount of data) and the suite's population for it."""

from __future__ import annotations

import sys
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, NamedTuple

import torch

from algos.base import Algo
from algos.methods.awr import AWRConfig
from algos.methods.weighted_bc import Kind, Sampler, WeightedBCConfig
from algos.registry import build_untrained
from bench.config.compose import compose
from bench.config.schema import Config
from bench.training.device import apply_engine
from bench.training.parallel import build_population, processes_for
from envs.data.trajectories import TENSORS, Trajectories
from envs.readers.load import load

UPDATES = 1_000_000  # length of schedules; no measurement gets that far


@dataclass(frozen=True)
class Workload:
    """`members` learners of `method`. batch = 0, hidden = (): the method's own settings. steps = 0: all of the data."""

    method: str
    members: int = 1
    batch: int = 0
    hidden: tuple[int, ...] = ()
    steps: int = 0  # of data; episodes are repeated or left out to reach about that number
    dataset: str = "iwsft/hopper/medium-replay-v0"
    device: str = "cpu"
    engine: str = "auto"  # of the suite: auto | eager | compiled | captured (bench/training/device.py)
    precision: str = "float32"  # of matrix products: float32 | tf32 | bf16
    after: int = 0  # updates before the first measured one


class Work(NamedTuple):
    """A loop to time: `train(start, stop)` makes updates number start to stop - 1.

    cycle: period of the kinds of updates (TD3's policy moves every second update). rare: period of one much longer update (weights are
    refreshed), 0 without one.
    """

    train: Callable[[int, int], Any]
    cycle: int = 1
    rare: int = 0


def composed(workload: Workload, own_updates: bool = False) -> Config:
    """The configuration that the command line gives, with the batch and widths of `workload`.

    Schedules are UPDATES long, or with `own_updates` as long as the method's configuration says.
    """
    overrides = [f"dataset={workload.dataset}", f"trainer.engine={workload.engine}", f"trainer.precision={workload.precision}"]
    overrides += [] if own_updates else [f"algo.updates={UPDATES}"]
    found = compose([f"algo={workload.method}", *overrides])
    config = found.algo
    if workload.hidden:
        config.hidden = list(workload.hidden)
    if workload.batch:
        config.batch_size = workload.batch
    return found


def configured(workload: Workload, own_updates: bool = False) -> Any:
    """The method's configuration in `composed`."""
    return composed(workload, own_updates).algo


def data_for(workload: Workload) -> Trajectories:
    """The workload's data on its device."""
    data = load(workload.dataset).trajectories
    return (resized(data, workload.steps) if workload.steps else data).to(torch.device(workload.device))


def resized(data: Trajectories, steps: int) -> Trajectories:
    """The first episodes of `data`, repeated if necessary, with at least `steps` steps in all."""
    copies = -(-steps // data.num_steps)
    lengths = data.lengths.repeat(copies)
    episodes = int((lengths.cumsum(0) < steps).sum()) + 1
    offsets = torch.cat([torch.zeros(1, dtype=torch.int64), lengths[:episodes].cumsum(0)])
    kept = int(offsets[-1])
    flat = (torch.cat([getattr(data, name)] * copies)[:kept] for name in TENSORS if name != "offsets")
    return Trajectories.from_tensors([*flat, offsets], data.num_actions)


def rhythm(config: Any) -> tuple[int, int]:
    """`cycle` and `rare` of a method's updates."""
    if isinstance(config, AWRConfig):
        return 1, config.refresh_every
    refreshes = isinstance(config, WeightedBCConfig) and config.weighting.kind is Kind.trajectory and config.sampler is Sampler.transitions
    return getattr(config, "policy_delay", 1), config.weighting.refresh_every if refreshes else 0


def suite(workload: Workload) -> Work:
    """The suite's loop, with the engine and the processes of a run."""
    config, data, seeds = composed(workload), data_for(workload), range(workload.members)

    def make(own: slice) -> Algo:
        algo = build_untrained(config.algo, data, seeds[own])
        apply_engine(algo, config, lambda line: print(line, file=sys.stderr))
        return algo

    algo = build_population(make, workload.members, 1, processes_for(config, torch.device(workload.device), workload.members))
    return Work(algo.train, *rhythm(config.algo))
