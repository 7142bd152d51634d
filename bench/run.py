"""One run: train a population, evaluate it on the way, leave a run directory."""

from __future__ import annotations

import sys
import time
from datetime import UTC, datetime
from functools import partial
from importlib.metadata import version
from typing import Any

import numpy as np
import torch

from algos.base import Algo
from algos.registry import ALGOS
from bench import reference_policy
from bench.config import Config
from bench.errors import RunError
from bench.evaluate import evaluate
from bench.loggers import Logger, make_logger
from bench.progress import Reporter, next_label
from bench.resources import data_set, device_of, evaluator
from bench.rundir import Row, RunDir
from envs.logged_data import LoggedData
from envs.revision import code_revision

CHUNK = 50  # updates between two moves of the progress bar
PACKAGES = ("torch", "numpy", "gymnasium", "mujoco", "minari")


def run(config: Config) -> RunDir:
    """Do the run of `config`, or what is left of it; a finished one is not done again.

    Raises ConfigError, DataError or RunError for what a user can mend, OSError for what the disk refuses.
    """
    device = device_of(config.device)
    with Reporter(next_label(f"{config.algo.name} {config.dataset}")) as reporter:
        reference_data = _reference_data(config)
        data = data_set(config.dataset, config.eval.workers)
        digest = data.trajectories.digest
        folder = RunDir(config, digest, device.type, None if reference_data is None else reference_data.trajectories.digest)
        if folder.finished and not config.force:
            reporter.say(f"{reporter.label}: finished before, see {folder.path} (force=true runs it again)")
            return folder
        if config.force:
            folder.clear()
        if data.clipped:
            reporter.say(f"{config.dataset}: {data.clipped:.2%} of action entries lie outside the environment's bounds and were clipped")
        started = time.perf_counter()
        trajectories = data.trajectories.to(device)
        algo = _make(config, data, reference_data, trajectories, device, reporter)
        record = _record(config, folder, data, digest, device, algo, time.perf_counter() - started)
        folder.start(record)
        logger = make_logger(config, folder)
        loop = _Loop(config, folder, data, algo, logger, reporter)
        summary = loop.run()
        policy = algo.policy()
        with reference_policy.announced(config, digest, device) as share:
            share(policy)
        finished_at = datetime.now(UTC).strftime("%Y-%m-%d %H:%M UTC")
        folder.finish(record | {"wall_time_s": round(loop.wall_time, 2), "finished_at": finished_at}, policy)
        logger.finish(summary)
        reporter.say(f"{reporter.label}: {_spell(summary)}, {loop.wall_time:.0f} s")
    return folder


def _reference_data(config: Config) -> LoggedData | None:
    """What pi_ref is trained on, if that is not the data set itself."""
    used = config.pi_ref_dataset not in (None, config.dataset) and getattr(config.algo, "needs_pi_ref", False)
    return data_set(config.pi_ref_dataset, config.eval.workers) if used and config.pi_ref_dataset else None


def _make(
    config: Config, data: LoggedData, reference_data: LoggedData | None, trajectories: Any, device: torch.device, reporter: Reporter
) -> Algo:
    """The method's population on its data, with its reference policy if it needs one."""
    extra = {}
    if getattr(config.algo, "needs_pi_ref", False):
        source, found = data, trajectories
        if reference_data is not None:
            _check_alike(config, data, reference_data)
            source, found = reference_data, reference_data.trajectories.to(device)
        digest = source.trajectories.digest
        extra["pi_ref"] = partial(reference_policy.find_or_train, config, found, digest, device, reporter)
    return ALGOS[type(config.algo)](config.algo, trajectories, config.seeds, **extra)  # type: ignore[call-arg]


def _check_alike(config: Config, data: LoggedData, other: LoggedData) -> None:
    """Raise RunError unless a policy of `other` fits `data`."""
    shapes = [
        (d.observation_width, d.action_width, d.trajectories.num_actions, d.action_low.tolist(), d.action_high.tolist())
        for d in (data, other)
    ]
    if shapes[0] != shapes[1]:
        widths = " and ".join(f"{s[0]} x {s[1]}" for s in shapes)
        raise RunError(f"pi_ref_dataset = {config.pi_ref_dataset}: its observations and actions ({widths}) do not fit {config.dataset}")


def _record(config: Config, folder: RunDir, data: LoggedData, digest: str, device: torch.device, algo: Algo, set_up_time: float) -> Row:
    """What run.json says: all that tables need, so that they are made of run directories alone."""
    reference = data.reference
    return {
        "suite": config.suite, "dataset": config.dataset, "algo": config.algo.name, "seeds": list(config.seeds),
        "updates": algo.updates, "eval_every": config.eval.every, "eval_episodes": config.eval.episodes,
        "final_episodes": config.eval.final_episodes, "last_k": config.eval.last_k,
        "reference": None if reference is None else {"name": reference.name, "random": reference.random, "expert": reference.expert},
        "note": data.note, "pi_ref_dataset": config.pi_ref_dataset,
        "data_return_mean": float(data.trajectories.returns.mean()), "clipped_actions": data.clipped,
        "config_hash": folder.hash, "dataset_digest": digest, "code_revision": code_revision(),
        "device": torch.cuda.get_device_name(device) if device.type == "cuda" else "cpu",
        "parameters": algo.parameters, "set_up_time_s": round(set_up_time, 2),
        "versions": {"python": sys.version.split()[0], **{p: version(p) for p in PACKAGES}},
    }  # fmt: skip


class _Loop:
    """Training from where the run directory stands to the end, evaluation and a save at every stop."""

    def __init__(self, config: Config, folder: RunDir, data: LoggedData, algo: Algo, logger: Logger, reporter: Reporter) -> None:
        self.config, self.folder, self.data, self.algo, self.logger, self.reporter = config, folder, data, algo, logger, reporter
        self.done, self.wall_time = 0, 0.0
        self.episodes: list[Row] = []
        self.curve: list[Row] = []

    def run(self) -> Row:
        """Train; returns the mean return (and score) of the last evaluation."""
        saved = self.folder.resume()
        if saved is not None:
            self.done, self.wall_time, state, self.episodes, self.curve = saved[:5]
            for note in saved.notes:
                self.reporter.say(f"{self.reporter.label}: {note}")
            if state:
                self.algo.state = {k: v.to(self.algo.device) for k, v in state.items()}
                self.reporter.say(f"{self.reporter.label}: going on after update {self.done}")
        updates, every = self.algo.updates, self.config.eval.every
        self.reporter.stage("training", updates, self.done)
        summary = self._summary() if self.done else {}
        for stop in [*range(self.done - self.done % every + every, updates, every), *([updates] if self.done < updates else [])]:
            started = time.perf_counter()
            metrics = self._train(stop)
            rows = self._evaluate(stop)
            self.wall_time += time.perf_counter() - started
            self._log(stop, rows, metrics)
            self.folder.save(stop, self.wall_time, self.algo.state, self.episodes, self.curve)
            summary = self._summary()
            if not self.reporter.console.is_terminal:
                self.reporter.say(f"{self.reporter.label}: update {stop}/{updates}, {_spell(summary)}")
        return summary

    def _train(self, stop: int) -> dict[str, torch.Tensor]:
        metrics: dict[str, torch.Tensor] = {}
        begun, first = time.perf_counter(), self.done
        while self.done < stop:
            until = min(self.done + CHUNK, stop)
            metrics = self.algo.train(self.done, until)
            self.done = until
            self.reporter.update(self.done, f"training, {(self.done - first) / (time.perf_counter() - begun):.0f}/s")
        finite = torch.stack([p.isfinite().flatten(1).all(1) for p in self.algo.policy().values()]).all(0)
        if not finite.all():
            seed = self.algo.seeds[int((~finite).int().argmax())]
            raise RunError(f"{self.config.algo.name}, seed {seed}: parameters are not finite after update {stop}; lower the learning rate")
        return metrics

    def _evaluate(self, update: int) -> list[Row]:
        last = update == self.algo.updates
        count = self.config.eval.final_episodes if last else self.config.eval.episodes
        environments = evaluator(self.data.env_spec, self.config.eval.workers)
        steps = iter(range(1, 10**9))

        def tick() -> None:
            step = next(steps)
            if step % 20 == 0:
                self.reporter.update(update, f"evaluating, step {step}")

        return evaluate(self.algo, self.data, environments, update, count, tick)

    def _log(self, update: int, rows: list[Row], metrics: dict[str, torch.Tensor]) -> None:
        self.episodes += rows
        measured = metrics | self.algo.diagnostics()
        new = []
        for k, seed in enumerate(self.algo.seeds):
            mean = float(np.mean([r["return"] for r in rows if r["seed"] == seed]))
            new.append({"update": update, "seed": seed, "return_mean": mean, **{name: float(v[k]) for name, v in measured.items()}})
        self.curve += new
        self.logger.log(update, new)

    def _summary(self) -> Row:
        last = [float(row["return_mean"]) for row in self.curve if int(row["update"]) == self.done]
        summary = {"return_mean": float(np.mean(last))}
        if self.data.reference is not None:
            summary["score_mean"] = float(self.data.reference.score(np.asarray(summary["return_mean"])))
        return summary


def _spell(summary: Row) -> str:
    score = f", score {summary['score_mean']:.1f}" if "score_mean" in summary else ""
    return f"return {summary['return_mean']:.1f}{score}"
