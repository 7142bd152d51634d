"""A reading of the machine's speed in a line: seconds of two machines are compared with it."""

from __future__ import annotations

import time
from collections.abc import Callable

import gymnasium
import mujoco
import torch

from algos.methods.weighted_bc import WeightedBCConfig
from algos.registry import build_untrained
from bench.report.costs import YARDSTICK
from bench.speed.machine import describe
from envs.data.trajectories import Trajectories

SECONDS = 1.0  # of each of the two measurements
STEPS, OBSERVATION, ACTION = 10_000, 17, 6  # of the data, as in HalfCheetah
MEMBERS = 4


def yardstick_line() -> str:
    """A fixed BC (eager, float32, 256 x 256, 4 members) and MuJoCo's own step, each timed for SECONDS on one core, and the machine."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        updates, steps = MEMBERS * _rate(_training(), 1), _rate(_physics(), 100)
        machine = describe("cpu", 1)
    finally:
        torch.set_num_threads(threads)
    return f"{YARDSTICK}{updates:.0f} member-updates/s of BC, {steps:.0f} mj_step/s of HalfCheetah-v5, on one core; {machine}"


def _training() -> Callable[[int, int], object]:
    """Updates `start` to `stop` of the fixed BC, on random data."""
    generator = torch.Generator().manual_seed(0)
    observations, actions = (torch.rand(STEPS, width, generator=generator) for width in (OBSERVATION, ACTION))
    flags = torch.zeros(STEPS, dtype=torch.bool)
    offsets = torch.arange(0, STEPS + 1, 1000)
    data = Trajectories(observations, actions, torch.zeros(STEPS), observations, flags, flags, offsets)
    return build_untrained(WeightedBCConfig("bc"), data, range(MEMBERS)).train


def _physics() -> Callable[[int, int], object]:
    """Steps `start` to `stop` of HalfCheetah's physics, from its first state on."""
    env = gymnasium.make("HalfCheetah-v5").unwrapped
    model, data = env.model, env.data
    return lambda start, stop: mujoco.mj_step(model, data, stop - start)


def _rate(work: Callable[[int, int], object], chunk: int) -> float:
    """Units of `work` per second, in pieces of `chunk`, after a first piece that is not counted."""
    work(0, chunk)
    done, started = chunk, time.perf_counter()
    while (took := time.perf_counter() - started) < SECONDS or done == chunk:
        work(done, done + chunk)
        done += chunk
    return (done - chunk) / took
