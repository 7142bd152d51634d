"""The loop that trains a population: updates, and at every stop an evaluation and a save of each of its runs."""

from __future__ import annotations

import time
from collections.abc import Sequence

import numpy as np
import torch

from algos.base import Algo, Metrics
from algos.members import part
from bench.errors import RunError
from bench.evaluate import play
from bench.progress import Reporter
from bench.resources import evaluator
from bench.rundir import Row
from bench.trainee import Trainee
from envs.logged_data import LoggedData
from envs.rollout import Returns

CHUNK = 50  # updates between two moves of the progress bar


class Loop:
    """Training of the runs `trainees`, which `algo` holds side by side, from update `done` to the end."""

    def __init__(self, trainees: Sequence[Trainee], data: LoggedData, algo: Algo, done: int, reporter: Reporter) -> None:
        self.trainees, self.data, self.algo, self.done, self.reporter = trainees, data, algo, done, reporter
        self.evaluation = trainees[0].config.eval

    def run(self) -> None:
        """Train. Raises RunError once none of the runs can go on."""
        updates, every = self.algo.updates, self.evaluation.every
        self.reporter.stage("training", updates, self.done)
        for stop in [*range(self.done - self.done % every + every, updates, every), *([updates] if self.done < updates else [])]:
            started = time.perf_counter()
            metrics = self._train(stop)
            self._check_finite(stop)
            played = self._evaluate(stop)
            elapsed = time.perf_counter() - started
            self._keep(stop, played, metrics, elapsed)

    def _train(self, stop: int) -> Metrics:
        metrics: Metrics = {}
        begun, first = time.perf_counter(), self.done
        while self.done < stop:
            until = min(self.done + CHUNK, stop)
            metrics = self.algo.train(self.done, until)
            self.done = until
            self.reporter.update(self.done, f"training, {(self.done - first) / (time.perf_counter() - begun):.0f}/s")
        return metrics

    def _check_finite(self, update: int) -> None:
        """Take runs with parameters that are not finite out of what counts. Their members go on from zeros: they harm nobody so."""
        finite = torch.stack([p.isfinite().flatten(1).all(1) for p in self.algo.policy().values()]).all(0)
        for run in self.trainees:
            if run.failed or finite[run.members].all():
                continue
            seed = run.config.seeds[int((~finite[run.members]).int().argmax())]
            name = " ".join(filter(None, (run.config.algo.name, run.apart)))
            run.failed = f"{name}, seed {seed}: parameters are not finite after update {update}; lower the learning rate"
        going = [run for run in self.trainees if not run.failed]
        if not going:
            raise RunError("; ".join(run.failed for run in self.trainees))
        for run in self.trainees:
            if run.failed:
                for value in part(self.algo.state, run.members).values():
                    if value.ndim:
                        value.zero_()

    def _evaluate(self, update: int) -> Returns:
        last = update == self.algo.updates
        count = self.evaluation.final_episodes if last else self.evaluation.episodes
        environments = evaluator(self.data.env_spec, self.evaluation.workers)
        steps = iter(range(1, 10**9))

        def tick() -> None:
            step = next(steps)
            if step % 20 == 0:
                self.reporter.update(update, f"evaluating, step {step}")

        return play(self.algo, self.data, environments, update, count, tick)

    def _keep(self, update: int, played: Returns, metrics: Metrics, elapsed: float) -> None:
        """Log and save every run."""
        measured = metrics | self.algo.diagnostics()
        going = [run for run in self.trainees if not run.failed]
        for run in going:
            run.wall_time += elapsed * run.share
            run.measure(update, played, measured)
            run.folder.save(update, run.wall_time, part(self.algo.state, run.members), run.episodes, run.curve)
        if not self.reporter.console.is_terminal:
            found = [run.summary(update, self.data.reference) for run in going]
            mean = {k: float(np.mean([summary[k] for summary in found])) for k in found[0]}
            self.reporter.say(f"{self.reporter.label}: update {update}/{self.algo.updates}, {spell(mean)}")


def spell(summary: Row) -> str:
    """A summary in words."""
    score = f", score {summary['score_mean']:.1f}" if "score_mean" in summary else ""
    return f"return {summary['return_mean']:.1f}{score}"
