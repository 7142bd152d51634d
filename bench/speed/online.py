"""Measure the online phase: environment steps and updates per second of the suite's members beside a one-seed loop in the common style.

loop    one environment as `gymnasium.make` makes it, one module a network (yardstick.py), a buffer of tensors; with one thread and with all
suite   `bench.training.online`, with the processes of a run; each member has its own environment and buffer

Both take a step and `updates` updates in turn, half of each batch logged, and are measured in turn, round by round.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from statistics import median
from typing import Any

import numpy as np
import torch
from torch import Tensor

from algos.registry import build_untrained
from bench.config.compose import compose
from bench.config.schema import Config
from bench.errors import RunError
from bench.report.render import markdown_row
from bench.speed.machine import cpu_model
from bench.speed.measure import Say, check_quiet
from bench.speed.options import OnlineOptions
from bench.speed.rows import Row
from bench.speed.yardstick import TRAINERS, GaussianActor, Trainer
from bench.training.online import Online
from bench.training.parallel import build_population, processes_for
from envs.cores import available_cores
from envs.data.environments import make
from envs.data.logged_data import LoggedData
from envs.readers.load import load
from envs.revision import code_revision

COLUMNS = (
    "method", "kind", "members", "processes", "threads", "steps_per_s_member", "updates_per_s_member", "member_steps_per_s", "spread",
    "x_loop", "updates_a_step", "batch", "hidden", "rounds", "cpu_model", "cores", "others_busy", "torch_version", "code_revision",
)  # fmt: skip
"""steps_per_s_member: environment steps per second of a member, each with its updates; median over the rounds. member_steps_per_s: times
the members. x_loop: member_steps_per_s over the loop's (the faster of its two), median over the rounds."""
LONG = 1_000_000  # steps of the phase; no measurement gets that far
CAPACITY = 200_000  # of a buffer
WARM = 20  # steps before the first measured one


class Loop:
    """The one-seed loop: act, step, store, update."""

    def __init__(self, config: Config, data: LoggedData, updates: int) -> None:
        torch.manual_seed(0)
        self.config, self.data, self.updates = config.algo, data, updates
        self.trainer: Any = TRAINERS[config.algo.name](config.algo, data.trajectories)
        self.env = make(data.env_spec)
        self.observation = self._seen(self.env.reset(seed=0)[0])
        widths = data.observation_width, data.action_width
        sizes = (widths[:1], widths[1:], (), widths[:1], ())
        self.own = [torch.zeros(CAPACITY, *size) for size in sizes]
        self.count = self.number = 0

    @staticmethod
    def _seen(observation: Any) -> Tensor:
        return torch.as_tensor(np.asarray(observation), dtype=torch.float32)

    def sample(self) -> tuple[Tensor, ...]:
        half = self.config.batch_size // 2
        index = torch.randint(0, min(self.count, CAPACITY), (self.config.batch_size - half,))
        logged = self.trainer.buffer.sample(half)
        return tuple(torch.cat([a, b[index]]) for a, b in zip(logged, self.own, strict=True))

    def train(self, steps: int) -> None:
        trainer: Trainer = self.trainer
        for _ in range(steps):
            with torch.no_grad():
                found = self.trainer.actor(self.observation.unsqueeze(0))
                noise = 0.1 * torch.randn(self.data.action_width)
                action = (found.sample() if isinstance(self.trainer.actor, GaussianActor) else found + noise)[0].clamp(-1, 1)
            observation, reward, terminated, truncated, _ = self.env.step(self.data.to_env(action.numpy()))
            following, slot = self._seen(observation), self.count % CAPACITY
            for own, value in zip(self.own, (self.observation, action, reward, following, float(not terminated)), strict=True):
                own[slot] = value
            self.count += 1
            self.observation = self._seen(self.env.reset()[0]) if terminated or truncated else following
            for _ in range(self.updates):
                trainer.update(self.number, *self.sample())
                self.number += 1


def suite(config: Config, data: LoggedData, members: int) -> tuple[Callable[[int], Any], int]:
    """A function that makes a number of steps with `members` members, as a run does, and the processes that make them."""
    trajectories: Any = data.trajectories
    processes = processes_for(config, torch.device("cpu"), members)

    def part(own: slice) -> Online:
        return Online(build_untrained(config.algo, trajectories, range(members)[own]), config.online, data)

    algo, at = build_population(part, members, 1, processes), [config.algo.updates]

    def train(steps: int) -> None:
        algo.train(at[0], at[0] + steps)
        at[0] += steps

    return train, processes


def rate(train: Callable[[int], Any], seconds: float) -> float:
    """Steps per second over about `seconds`."""
    started, done, chunk = time.perf_counter(), 0, 8
    while (elapsed := time.perf_counter() - started) < seconds:
        train(chunk)
        done += chunk
    return done / elapsed if elapsed else 0.0


def measure_online(o: OnlineOptions, say: Say) -> list[Row]:
    """Rows of COLUMNS: the loop and the suite with each number of members, for each method.

    Raises RunError for a data set that names no environment.
    """
    before, rows, data = torch.get_num_threads(), [], load(o.dataset)
    if not data.env_spec:
        raise RunError(f"dataset = {o.dataset}: it names no environment to act in; expected one that does, such as {OnlineOptions.dataset}")
    try:
        for method in o.methods:
            say(f"measuring {method}")
            rows += _measured(method, o, data, check_quiet(say))
    finally:
        torch.set_num_threads(before)
    return rows


def _measured(method: str, o: OnlineOptions, data: LoggedData, busy: float) -> list[Row]:
    hidden = f"[{','.join(map(str, o.hidden))}]"
    config = compose([
        f"algo={method}", f"dataset={o.dataset}", "device=cpu", "algo.updates=1", f"algo.batch_size={o.batch}", f"algo.hidden={hidden}",
        f"online.steps={LONG}", f"online.updates={o.updates}", f"online.buffer={CAPACITY}",
    ])  # fmt: skip
    kinds: list[tuple[str, int, int, int, Callable[[int], Any]]] = []
    for threads in dict.fromkeys([1, o.all_threads]):
        kinds.append(("loop", 1, 1, threads, Loop(config, data, o.updates).train))
    for members in o.members:
        train, processes = suite(config, data, members)
        kinds.append(("suite", members, processes, 1 if processes > 1 else o.all_threads, train))
    for _, _, _, threads, train in kinds:
        torch.set_num_threads(threads)
        train(WARM)
    rates: list[list[float]] = [[] for _ in kinds]
    for r in range(o.rounds):
        for k in range(len(kinds)) if r % 2 == 0 else reversed(range(len(kinds))):
            torch.set_num_threads(kinds[k][3])
            rates[k].append(rate(kinds[k][4], o.seconds))
    best = max((own for own, kind in zip(rates, kinds, strict=True) if kind[0] == "loop"), key=median)
    shared = {
        "method": method, "updates_a_step": o.updates, "batch": o.batch, "hidden": "x".join(map(str, o.hidden)), "rounds": o.rounds,
        "cpu_model": cpu_model(), "cores": available_cores(), "others_busy": busy, "torch_version": torch.__version__,
        "code_revision": code_revision(),
    }  # fmt: skip
    return [
        shared | {
            "kind": kind, "members": members, "processes": processes, "threads": threads, "steps_per_s_member": median(own),
            "updates_per_s_member": o.updates * median(own), "member_steps_per_s": members * median(own),
            "spread": (max(own) - min(own)) / median(own), "x_loop": median(members * a / b for a, b in zip(own, best, strict=True)),
        }
        for (kind, members, processes, threads, _), own in zip(kinds, rates, strict=True)
    ]  # fmt: skip


def table(rows: Sequence[Row]) -> str:
    """The rows as a Markdown table."""
    head = [
        "method",
        "kind",
        "members",
        "processes x threads",
        "steps/s a member",
        "updates/s a member",
        "member-steps/s",
        "spread",
        "x loop",
    ]
    lines = [markdown_row(head), markdown_row(["---", "---", *["---:"] * (len(head) - 2)])]
    for r in rows:
        numbers = (f"{r[k]:,.0f}" for k in ("steps_per_s_member", "updates_per_s_member", "member_steps_per_s"))
        cells = [r["method"], r["kind"], str(r["members"]), f"{r['processes']} x {r['threads']}", *numbers, f"{r['spread']:.0%}"]
        lines.append(markdown_row([*cells, f"{r['x_loop']:.2f}"]))
    return "\n".join(lines)
