"""Training of the runs of a population: updates, evaluations and saves."""

from __future__ import annotations

import time
from collections.abc import Sequence
from itertools import count

import numpy as np
import torch

from algos.base import Algo, Metrics
from algos.members import joined, misfit, part
from bench.numbers import spell_return
from bench.storage.identity import ends, modes, on_the_way
from bench.storage.layout import Row
from bench.storage.rundir import Resumed
from bench.training import signals
from bench.training.background_evaluation import BackgroundEvaluation
from bench.training.evaluate import finite, play
from bench.training.loop import Loop
from bench.training.parallel import leaves_a_core
from bench.training.progress import Reporter
from bench.training.run_progress import RunInProgress
from bench.training.shared import Shared
from envs.data.logged_data import LoggedData
from envs.errors import DataError
from envs.evaluation.rollout import Returns

PATIENCE = 5.0  # seconds that a signal waits for an evaluation in the background


class RunLoop(Loop):
    """Trains `runs`, whose members are those of `algo`, to the end; evaluates and saves them every `eval.every` updates.

    A signal interrupts an evaluation, which the next process plays from its beginning; so does an environment that the signal made fail.
    If evaluations overlap (`eval.overlap`), training continues while one is played, the last one excepted. The state is saved when such an
    evaluation begins, and next when it has ended.

    In an online phase (bench.training.online) an update is an environment step of every member and the updates after it; the evaluation
    before it has as many episodes as the last.

    Without an environment (env=none) nothing is played: a stop records the metrics of training alone.

    evaluated: updates before the last recorded evaluation.
    """

    stage = "training"

    def __init__(self, runs: Sequence[RunInProgress], algo: Algo, data: LoggedData, shared: Shared, reporter: Reporter) -> None:
        super().__init__(algo, runs[0].config.trainer.checkpoint_minutes, reporter)
        self.runs, self.data, self.shared = runs, data, shared
        self.evaluation, self.online = runs[0].config.eval, runs[0].config.online
        protocol = {"updates": algo.updates, "eval_every": self.evaluation.every, "online_steps": self.online.steps}
        protocol["online_every"] = self.online.every or self.evaluation.every
        self.stops, self.ends = (*on_the_way(protocol), algo.updates), ends(protocol)
        free = leaves_a_core(runs[0].config, algo.device, algo.members)
        self.overlaps = free if self.evaluation.overlap is None else self.evaluation.overlap
        self.evaluated = 0
        self.background: BackgroundEvaluation | None = None
        self._seconds = {"evaluation": 0.0, "saving": 0.0}  # since the last save

    def misfit(self, saved: Sequence[Resumed]) -> str | None:
        """One line if what a run has saved is not the state of this population, as only a forged checkpoint is; else None."""
        optional = ("stage.", "buffer.", "online.") if self.online.steps else ()  # absent from a run that trained offline alone
        expected = self.algo.checkpoint(saved[0].update)
        for run, own in zip(self.runs, saved, strict=True):
            metrics = {name: torch.zeros(len(run.config.seeds), dtype=value.dtype) for name, value in own.metrics.items()}
            fault = misfit(own.state, part(expected, run.members), optional) or misfit(own.metrics, metrics)
            if fault or list(own.metrics) != list(saved[0].metrics):
                return f"a checkpoint in {run.folder.path} is damaged ({fault or 'its metrics are others'})"
        return None

    def resume(self, saved: Sequence[Resumed]) -> None:
        """Continue from what every run has saved, all after the same update."""
        self.done, self.evaluated = saved[0].point
        self.algo.state = {k: v.to(self.algo.device) for k, v in joined([s.state for s in saved]).items()}
        self.metrics = {k: v.to(self.algo.device) for k, v in joined([s.metrics for s in saved]).items()}
        for run, own in zip(self.runs, saved, strict=True):
            run.resume(own)
        if self.done == self.evaluated:
            self._mark_failed()
        self.reporter.say(f"{self.reporter.label}: resumed after update {self.done}")

    def run(self) -> None:
        """Train and evaluate to the end."""
        updates = self.algo.updates
        self.reporter.stage(self.stage, updates, self.done)
        self._timed_from = time.perf_counter()
        try:
            for stop in [stop for stop in self.stops if stop > self.evaluated]:
                self._train_unless_all_failed(stop)
                if self.background is not None:
                    started = time.perf_counter()
                    self.background.wait(lambda: signals.exit_if_signalled(self.save_at_signal))
                    self._seconds["evaluation"] += time.perf_counter() - started
                    self.save()
                for member in self._mark_failed():
                    what = f"{member}: parameters are not finite after update {stop}; it counts as failed and the others continue"
                    self.reporter.say(f"{what}; a lower learning rate may help")
                if self.evaluation.keep_policies and stop < updates:  # the last ones are policy.safetensors
                    for run in self.runs:
                        run.keep_policy(stop, self.algo.policy())
                metrics = self.metrics | self.algo.diagnostics()
                if self.overlaps and stop not in self.ends and self.plays:
                    self.save()
                    self._evaluate_in_background(stop, metrics)
                else:
                    started = time.perf_counter()
                    played = self._evaluate(stop)
                    self._seconds["evaluation"] += time.perf_counter() - started
                    self._record(stop, played, metrics)
                    self.save()
        finally:
            if self.background is not None:  # after an error no thread may step the shared environments
                self.shared.close_evaluator()
                self.background.wait()

    def write_checkpoint(self) -> None:
        """Save every run; first wait for the evaluation in the background, if any, and record it."""
        if self.background is not None:
            self._record(self.background.update, [self.background.result()], self.background.metrics)
            self.background = None
        now = time.perf_counter()
        elapsed, self._timed_from = now - self._timed_from, now
        state, metrics = self.algo.checkpoint(self.done), self.metrics if self.done > self.evaluated else {}
        for run in self.runs:
            run.add_time(elapsed, self._seconds)
            run.save(self.done, state, metrics)
        self._seconds = {"evaluation": 0.0, "saving": time.perf_counter() - now}

    def save_at_signal(self) -> None:
        """Save, unless an evaluation in the background takes longer than PATIENCE: the state before it was saved when it began."""
        if self.background is not None:
            deadline = time.monotonic() + PATIENCE
            while not self.background.finished and time.monotonic() < deadline:
                time.sleep(0.05)
        if self.background is None or self.background.finished:
            self.save()

    def after_chunk(self) -> None:
        if self.background is not None and self.background.finished:
            self.save()

    def _train_unless_all_failed(self, stop: int) -> None:
        """Train to `stop`; if every member has failed, do the last update alone, for the names of its metrics."""
        if self.done < stop and all(len(run.failed) == len(run.config.seeds) for run in self.runs):
            self.done = stop - 1
        self.train(stop)

    def _mark_failed(self) -> list[str]:
        """Mark members whose parameters are not finite as failed; returns the new ones. The others do not share their arithmetic."""
        lost, names = ~finite(self.algo), []
        for run in self.runs:
            for seed, own in zip(run.config.seeds, lost[run.members], strict=True):
                if own and seed not in run.failed:
                    run.failed.append(seed)
                    names.append(" ".join(filter(None, (run.config.algo.name, run.settings))) + f", seed {seed}")
        return names

    @property
    def plays(self) -> bool:
        """True if there is an environment to play in."""
        return bool(self.data.env_spec)

    def _evaluate(self, update: int) -> list[Returns] | None:
        """Play the episodes after `update` in every mode, again from the beginning if the handler of a signal returns; None without an
        environment."""
        if not self.plays:
            return None
        last = update in self.ends
        episodes = self.evaluation.final_episodes if last else self.evaluation.episodes
        steps = count(1)

        def on_step() -> None:
            signals.interrupt_if_signalled()
            if (step := next(steps)) % 20 == 0:
                self.reporter.update(update, f"evaluating, step {step}")

        while True:
            environments = self.shared.evaluator(self.data.env_spec, self.evaluation.workers)
            try:
                return [
                    play(self.algo, self.data, environments, update, episodes, on_step, sampled=sampled)
                    for sampled in modes(self.evaluation.actions, last)
                ]
            except (signals.SignalReceivedError, DataError):
                if not signals.signalled():
                    raise
                self.shared.close_evaluator()  # its environments are in the middle of episodes
                signals.exit_if_signalled(self.save)

    def _evaluate_in_background(self, update: int, metrics: Metrics) -> None:
        environments = self.shared.evaluator(self.data.env_spec, self.evaluation.workers)
        (sampled,) = modes(self.evaluation.actions, last=False)

        def play_frozen(algo: Algo) -> Returns:
            return play(algo, self.data, environments, update, self.evaluation.episodes, sampled=sampled)

        self.background = BackgroundEvaluation(update, self.algo, metrics, play_frozen)

    def _record(self, update: int, played: Sequence[Returns] | None, metrics: Metrics) -> None:
        """Add an evaluation to the rows of every run, and to the log."""
        for run in self.runs:
            run.add_evaluation(update, played, metrics)
        self.evaluated = update
        found = [run.summary(update, self.data.reference) for run in self.runs]
        mean = {k: float(np.mean([summary[k] for summary in found])) for k in found[0]}
        self.reporter.say(f"{self.reporter.label}: {self._place(update)}, {spell(mean)}")

    def _place(self, update: int) -> str:
        """The updates, or the environment steps of the online phase, that are done: "update 500/1000"."""
        offline = self.algo.updates - self.online.steps
        if update > offline:
            return f"online step {update - offline}/{self.online.steps}"
        return f"update {update}/{offline}"


def spell(summary: Row) -> str:
    """A summary as text: "return 1234.5, score 67.8"; "loss 0.123" or "critic loss 0.123" of a run without evaluation."""
    if "return_mean" not in summary:
        return ", ".join(f"{name.replace('_', ' ')} {value:.4g}" for name, value in summary.items())
    score = f", score {summary['score_mean']:.1f}" if "score_mean" in summary else ""
    return f"return {spell_return(summary['return_mean'])}{score}"
