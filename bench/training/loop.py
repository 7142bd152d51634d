"""The loop that trains a population: updates, and at every stop an evaluation and a save of each of its runs."""

from __future__ import annotations

import time
from collections.abc import Sequence

import numpy as np

from algos.base import Algo, Metrics
from algos.members import joined
from bench.storage.rundir import Resumed, Row
from bench.training import signals
from bench.training.autosave import Autosave, ChunkSize
from bench.training.background_evaluation import BackgroundEvaluation
from bench.training.evaluate import finite, play
from bench.training.progress import Reporter
from bench.training.run_progress import RunInProgress
from bench.training.shared import Shared
from envs.data.logged_data import LoggedData
from envs.evaluation.rollout import Returns


class Loop:
    """Training of the runs `trainees`, which `algo` holds side by side, to the end.

    It stops to save where a signal asks for it and every `checkpoint_minutes`, between two updates or in an evaluation, which is then
    played again. Nothing that is saved depends on where that was: random numbers are functions of (seed, update).

    With `eval.overlap` it trains on while an evaluation is played, the last one excepted. Every save waits for that evaluation, and there
    is one before it begins, so that a process which dies meanwhile begins with it.
    """

    def __init__(self, trainees: Sequence[RunInProgress], data: LoggedData, algo: Algo, shared: Shared, reporter: Reporter) -> None:
        self.trainees, self.data, self.algo, self.shared, self.reporter = trainees, data, algo, shared, reporter
        self.evaluation = trainees[0].config.eval
        self.done, self.evaluated = 0, 0  # updates; those at the last evaluation
        self.metrics: Metrics = {}  # of the last update
        self.ahead: BackgroundEvaluation | None = None  # the evaluation that is being played
        self.autosave = Autosave(trainees[0].config.trainer.checkpoint_minutes)

    def go_on(self, saved: Sequence[Resumed]) -> None:
        """Begin where the runs stand, all at the same point; at the start if `saved` is empty."""
        if not saved:
            return
        self.done, self.evaluated = saved[0].point
        self.algo.state = {k: v.to(self.algo.device) for k, v in joined([s.state for s in saved]).items()}
        self.metrics = {k: v.to(self.algo.device) for k, v in joined([s.metrics for s in saved]).items()}
        for run, before in zip(self.trainees, saved, strict=True):
            run.wall_time, run.episodes, run.curve = before.wall_time, before.episodes, before.curve
        if self.done == self.evaluated:
            self._find_failed(say=False)
        self.reporter.say(f"{self.reporter.label}: going on after update {self.done}")

    def run(self) -> None:
        """Train."""
        updates, every = self.algo.updates, self.evaluation.every
        self.reporter.stage("training", updates, self.done)
        self.begun = time.perf_counter()
        try:
            for stop in [*range(self.evaluated + every, updates, every), *([updates] if self.evaluated < updates else [])]:
                self._train(stop)
                self._keep_what_was_ahead()
                self._find_failed()
                measured = self.metrics | self.algo.diagnostics()
                if self.evaluation.overlap and stop < updates:
                    self._play_ahead(stop, measured)
                else:
                    self._keep(stop, self._evaluate(stop), measured)
        finally:
            if self.ahead is not None:  # something went wrong, and whoever mends it wants the environments for himself
                self.shared.close_evaluator()
                self.ahead.wait()

    def _play_ahead(self, stop: int, measured: Metrics) -> None:
        """Begin to play what is trained so far, and go on."""
        self._save()
        environments = self.shared.evaluator(self.data.env_spec, self.evaluation.workers)
        self.ahead = BackgroundEvaluation(
            stop, self.algo, measured, lambda algo: play(algo, self.data, environments, stop, self.evaluation.episodes)
        )

    def _keep_what_was_ahead(self) -> None:
        """Wait for the evaluation that is being played, if there is one."""
        if self.ahead is not None:
            self._keep(self.ahead.update, self.ahead.result(), self.ahead.measured)

    def _train(self, stop: int) -> None:
        begun, first, stride = time.perf_counter(), self.done, ChunkSize()
        if self.done < stop and not any(set(run.config.seeds) - set(run.failed) for run in self.trainees):
            self.done = stop - 1  # nobody is left to train; one update names the metrics
        while self.done < stop:
            self._safe_point()
            started, until = time.perf_counter(), min(self.done + stride.updates, stop)
            self.metrics = self.algo.train(self.done, until)
            self.done = until
            stride.took(time.perf_counter() - started)
            if self.ahead is not None and self.ahead.over:
                self._keep_what_was_ahead()
            self.reporter.update(self.done, f"training, {(self.done - first) / (time.perf_counter() - begun):.0f}/s")

    def _safe_point(self) -> None:
        """Save if it is time to, or if a signal asks for it, which may end the process here."""
        if signals.asked() or self.autosave.due:
            self._keep_what_was_ahead()
        signals.leave_if_asked(self._save)
        if self.autosave.due:
            self._save()

    def _save(self) -> None:
        """Save every run."""
        now = time.perf_counter()
        elapsed, self.begun = now - self.begun, now
        state, waiting = self.algo.state, self.metrics if self.done > self.evaluated else {}
        for run in self.trainees:
            run.wall_time += elapsed * run.share
            run.save(self.done, state, waiting)
        self.autosave.restart()

    def _find_failed(self, say: bool = True) -> None:
        """Mark members whose parameters are not finite. They stay so, and harm nobody: members share no arithmetic."""
        lost = ~finite(self.algo)
        for run in self.trainees:
            for seed, own in zip(run.config.seeds, lost[run.members], strict=True):
                if own and seed not in run.failed:
                    run.failed.append(seed)
                    name = " ".join(filter(None, (run.config.algo.name, run.apart)))
                    if say:
                        what = f"{name}, seed {seed}: parameters are not finite after update {self.done}"
                        self.reporter.say(f"{what}; it counts as failed and the others go on; a lower learning rate may help")

    def _evaluate(self, update: int) -> Returns:
        """Play; from the beginning again if a signal interrupts and whoever framed the process lets it go on."""
        while True:
            try:
                return self._play(update)
            except signals.SignalReceivedError:
                self.shared.close_evaluator()  # its episodes are played again
                signals.leave_if_asked(self._save)

    def _play(self, update: int) -> Returns:
        last = update == self.algo.updates
        count = self.evaluation.final_episodes if last else self.evaluation.episodes
        environments = self.shared.evaluator(self.data.env_spec, self.evaluation.workers)
        steps = iter(range(1, 10**9))

        def tick() -> None:
            signals.interrupt_if_asked()
            step = next(steps)
            if step % 20 == 0:
                self.reporter.update(update, f"evaluating, step {step}")

        return play(self.algo, self.data, environments, update, count, tick)

    def _keep(self, update: int, played: Returns, measured: Metrics) -> None:
        """Log and save every run."""
        self.ahead = None
        for run in self.trainees:
            run.measure(update, played, measured)
        self.evaluated = update
        self._save()
        if not self.reporter.console.is_terminal:
            found = [run.summary(update, self.data.reference) for run in self.trainees]
            mean = {k: float(np.mean([summary[k] for summary in found])) for k in found[0]}
            self.reporter.say(f"{self.reporter.label}: update {update}/{self.algo.updates}, {spell(mean)}")


def spell(summary: Row) -> str:
    """A summary in words."""
    score = f", score {summary['score_mean']:.1f}" if "score_mean" in summary else ""
    return f"return {summary['return_mean']:.1f}{score}"
