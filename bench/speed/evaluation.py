"""Measure evaluation: environment steps per second in threads and in processes, beside a plain loop and physics alone.

threads      the evaluator's stepper for the locomotion tasks (envs/evaluation/threads.py)
processes    its stepper for all other environments (envs/evaluation/processes.py)
loop         one environment as `gymnasium.make` makes it, and a module of torch that is called for each observation
physics      mj_step alone, on all cores: the episodes of `threads` with their actions, one simulation a core

All play untrained policies, resets included, in turn, round by round.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import closing
from importlib.metadata import version
from statistics import median

import gymnasium
import numpy as np
import torch
from gymnasium.envs.registration import EnvSpec
from torch import nn

from algos.networks.policies import DeterministicPolicy
from bench.report.render import markdown_row
from bench.speed.machine import cpu_model
from bench.speed.measure import Say, check_quiet
from bench.speed.options import EvaluationOptions
from bench.speed.rows import Row
from envs.cores import available_cores
from envs.data.environments import find_spec, make, quiet
from envs.data.horizon import limited
from envs.evaluation.episodes import Moments, Returns
from envs.evaluation.processes import Processes
from envs.evaluation.stepper import open_threads
from envs.revision import code_revision

KINDS = ("threads", "processes", "loop", "physics")
COLUMNS = (
    "task", "environments", "members", "kind", "env_steps_per_s", "spread", "x_loop", "x_processes", "share_of_physics", "steps", "rounds",
    "threads", "hidden", "cpu_model", "cores", "others_busy", "torch_version", "mujoco_version", "gymnasium_version", "code_revision",
)  # fmt: skip
"""env_steps_per_s: median over the rounds. spread: (largest - smallest) / median. x_loop, x_processes, share_of_physics: ratios of rates,
medians over the rounds. steps: of a measurement. others_busy: share of the cores that other processes used before the measurement."""
LOOP_SHARE = 4  # the loop plays a quarter of the steps


class Workload:
    """Episodes of `count` environments of `task`, and the policies that play them."""

    def __init__(self, task: str, count: int, o: EvaluationOptions) -> None:
        self.members = max(p for p in range(1, o.members + 1) if count % p == 0)
        length = max(1, min(o.length, o.steps // count))
        self.env_spec = limited(find_spec(task), length).to_json()
        self.env = make(self.env_spec)
        space = self.env.action_space
        policy = DeterministicPolicy(self.env.observation_space.shape[0], space.shape[0], tuple(o.hidden))
        generators = [torch.Generator().manual_seed(seed) for seed in range(self.members)]
        self.policy, self.params = policy, policy.layout.views(policy.init(generators))
        self.net = _module(self.params)
        self.threads, self.processes = open_threads(self.env_spec, o.all_threads), Processes(self.env_spec, o.all_threads)
        self.actions: list[np.ndarray] = []
        self.recorded: np.ndarray | None = None
        mean = float(self.in_threads(np.arange(count)[:, None]).lengths.mean())
        self.seeds = np.arange(count * max(1, round(o.steps / count / mean))).reshape(count, -1)
        self.in_processes(self.seeds[:, :1])
        self.actions.clear()
        self.lengths = self.in_threads(self.seeds).lengths
        self.recorded = np.stack(self.actions)  # [steps, count, act]: every environment plays its episodes without a break
        self.starts = [self._start(seed) for seed in self.seeds.ravel().tolist()]
        self.cores = o.all_threads

    def act(self, observations: np.ndarray, _: Moments) -> np.ndarray:
        """Actions of all members, as in `bench.training.evaluate.play`."""
        with torch.no_grad():
            batch = torch.from_numpy(observations).view(self.members, len(observations) // self.members, -1)
            actions = self.policy.mean(self.params, batch).flatten(0, 1).numpy()
        space = self.env.action_space
        return np.clip(np.nan_to_num(actions) * space.high, space.low, space.high)

    def in_threads(self, seeds: np.ndarray) -> Returns:
        def noting(observations: np.ndarray, moments: Moments) -> np.ndarray:
            actions = self.act(observations, moments)
            if self.recorded is None:
                self.actions.append(actions)
            return actions

        assert self.threads is not None
        return self.threads.run(noting, seeds, lambda: None)

    def in_processes(self, seeds: np.ndarray) -> Returns:
        return self.processes.run(self.act, seeds, lambda: None)

    def in_loop(self) -> int:
        """Play a part of the episodes one after another; returns its steps."""
        with quiet():
            env = gymnasium.make(EnvSpec.from_json(self.env_spec))
        steps, space = 0, env.action_space
        for seed in self.seeds.ravel().tolist():
            observation, ended = env.reset(seed=seed)[0], False
            while not ended:
                with torch.no_grad():
                    action = self.net(torch.as_tensor(observation, dtype=torch.float32).unsqueeze(0))[0].numpy()
                observation, _, terminated, truncated, _ = env.step(np.clip(action * space.high, space.low, space.high))
                steps, ended = steps + 1, terminated or truncated
            if LOOP_SHARE * steps >= self.lengths.sum():
                break
        env.close()
        return steps

    def _start(self, seed: int) -> tuple[np.ndarray, np.ndarray]:
        """Positions and velocities after a reset."""
        self.env.reset(seed=seed)
        data = self.env.unwrapped.data
        return data.qpos.copy(), data.qvel.copy()

    def physics_alone(self) -> None:
        """Play the recorded episodes again with mj_step alone, a thread and a simulation for each core."""
        running = [threading.Thread(target=self._simulate, args=(core,)) for core in range(self.cores)]
        for thread in running:
            thread.start()
        for thread in running:
            thread.join()

    def _simulate(self, core: int) -> None:
        from mujoco import MjData, mj_forward, mj_resetData, mj_step

        assert self.recorded is not None
        model, frames = self.env.unwrapped.model, self.env.unwrapped.frame_skip
        data, episodes = MjData(model), self.lengths.shape[1]
        ctrl = data.ctrl
        for i in range(core, len(self.lengths), self.cores):
            done = 0
            for e, length in enumerate(self.lengths[i].tolist()):
                mj_resetData(model, data)
                data.qpos[:], data.qvel[:] = self.starts[i * episodes + e]
                mj_forward(model, data)
                for actions in self.recorded[done : done + length, i]:
                    ctrl[:] = actions
                    mj_step(model, data, frames)
                done += length

    def close(self) -> None:
        """End the processes and close the environments."""
        self.processes.close()
        if self.threads is not None:
            self.threads.close()
        self.env.close()

    def rate(self, kind: str) -> float:
        """Environment steps per second of one measurement of `kind`."""
        started, steps = time.perf_counter(), int(self.lengths.sum())
        if kind == "threads":
            self.in_threads(self.seeds)
        elif kind == "processes":
            self.in_processes(self.seeds)
        elif kind == "physics":
            self.physics_alone()
        else:
            steps = self.in_loop()
        return steps / (time.perf_counter() - started)


def _module(params: Mapping[str, torch.Tensor]) -> nn.Sequential:
    """The first member's network as a module: ReLU between layers, tanh at the end."""
    layers: list[nn.Module] = []
    for name in (name for name in params if name.endswith(".weight")):
        weight, bias = params[name][0], params[name.replace("weight", "bias")][0]
        layer = nn.Linear(*weight.shape)
        layer.load_state_dict({"weight": weight.T, "bias": bias})
        layers += [layer, nn.ReLU()]
    return nn.Sequential(*layers[:-1], nn.Tanh())


def measure_evaluation(o: EvaluationOptions, say: Say, keep: Callable[[list[Row]], None]) -> list[Row]:
    """Rows of COLUMNS, one for each task, number of environments and kind. keep: called with the rows so far after each measurement."""
    before = torch.get_num_threads()
    torch.set_num_threads(o.all_threads)
    try:
        rows = []
        for task in o.tasks:
            for count in o.environments:
                say(f"measuring {task} with {count} environments")
                rows += _measured(task, count, o, check_quiet(say))
                keep(rows)
        return rows
    finally:
        torch.set_num_threads(before)


def _measured(task: str, count: int, o: EvaluationOptions, busy: float) -> list[Row]:
    """The rows of one task and one number of environments."""
    with closing(Workload(task, count, o)) as work:
        rates: dict[str, list[float]] = {kind: [] for kind in KINDS}
        for r in range(o.rounds):
            for kind in KINDS if r % 2 == 0 else reversed(KINDS):
                rates[kind].append(work.rate(kind))
        steps, members = int(work.lengths.sum()), work.members

    def ratio(kind: str, other: str) -> float:
        return median(a / b for a, b in zip(rates[kind], rates[other], strict=True))

    shared = {
        "task": task, "environments": count, "members": members, "steps": steps, "rounds": o.rounds, "threads": o.all_threads,
        "hidden": "x".join(map(str, o.hidden)), "cpu_model": cpu_model(), "cores": available_cores(), "others_busy": busy,
        "torch_version": torch.__version__, "mujoco_version": version("mujoco"), "gymnasium_version": version("gymnasium"),
        "code_revision": code_revision(),
    }  # fmt: skip
    return [
        shared | {
            "kind": kind, "env_steps_per_s": median(found), "spread": (max(found) - min(found)) / median(found),
            "x_loop": ratio(kind, "loop"), "x_processes": ratio(kind, "processes"), "share_of_physics": ratio(kind, "physics"),
        }
        for kind, found in rates.items()
    ]  # fmt: skip


def table(rows: Sequence[Row]) -> str:
    """The rows as a Markdown table, one line for each task and number of environments."""
    head = ["task", "environments", *(f"{kind}, steps/s" for kind in KINDS), "x loop", "x processes", "of physics"]
    lines = [markdown_row(head), markdown_row(["---", *["---:"] * (len(head) - 1)])]
    for task, count in dict.fromkeys((r["task"], r["environments"]) for r in rows):
        own = {r["kind"]: r for r in rows if (r["task"], r["environments"]) == (task, count)}
        threads = own["threads"]
        speeds = [f"{own[kind]['env_steps_per_s']:,.0f}" for kind in KINDS]
        ratios = [f"{threads['x_loop']:.2f}", f"{threads['x_processes']:.2f}", f"{threads['share_of_physics']:.0%}"]
        lines.append(markdown_row([task, str(count), *speeds, *ratios]))
    return "\n".join(lines)
