"""Evaluations of a finished run, played again by its stored policies from the recorded starts and compared with the recorded returns."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import replace
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor

from algos.base import Algo
from bench.replay.load import LoadedRun
from bench.replay.tolerance import COARSE, MORE, ROUNDING, Comparison, compare
from bench.training.device import cores, device_of, precision_of
from bench.training.evaluate import environments_a_member, play
from bench.training.record import machine_facts, same_machine
from envs.evaluation.rollout import Evaluator, Returns

THREADS = 256  # at most; a run states its own


class Replay(NamedTuple):
    """An evaluation played again.

    played: returns, lengths and successes, [S, E] each. equal: a mask [S, E] of episodes equal to the recorded ones. exact: the run's
    machine rounds as this one, so that every episode must be equal. comparison: by tolerance, where rounding differs; each episode was
    played `plays` times for it.
    """

    played: Returns
    equal: np.ndarray
    exact: bool
    comparison: Comparison | None = None
    plays: int = 1

    @property
    def agrees(self) -> bool:
        return bool(self.equal.all()) or (self.comparison is not None and self.comparison.within)

    @property
    def decides(self) -> bool:
        """True unless rounding hides a change of the mean that is to be found (`tolerance.GOAL`)."""
        return self.comparison is None or not self.comparison.within or self.comparison.decides


class Player:
    """Plays the policies of `run` in `environments` on the kind of device that it was trained on, with its shape of batches and threads.

    plays: times that each episode is played where rounding differs; MORE times as often where its noise is large.
    """

    def __init__(self, run: LoadedRun, environments: Evaluator, plays: int) -> None:
        self.run, self.environments, self.plays = run, environments, plays
        self.device = device_of("cpu" if run.record["device"] == "cpu" else "auto")
        self.same_machine = same_machine(run.record, machine_facts(self.device))
        coarse = run.record["device"] != "cpu" and run.record.get("precision", "float32") != "float32"
        self.perturbation = COARSE if coarse else ROUNDING

    def population(self, parameters: Mapping[str, Tensor], perturbation: int = 0) -> Algo:
        """The policies with `parameters`, or with a perturbation of them: number `perturbation`, 0 for none. Raises RunError."""
        if perturbation:
            draws = torch.Generator().manual_seed(perturbation)
            noise = {k: 1 + self.perturbation * torch.randn(v.shape, generator=draws) for k, v in parameters.items()}
            parameters = {k: v * noise[k].to(v.dtype) if v.is_floating_point() else v for k, v in parameters.items()}
        return replace(self.run, parameters=dict(parameters)).population(device=self.device)

    def play(self, parameters: Mapping[str, Tensor], update: int, episodes: int, perturbation: int = 0, sampled: bool = False) -> Returns:
        """Play the evaluation after `update` with mean or `sampled` actions: [S, E]. Raises RunError for policies that do not fit,
        DataError for a failing environment."""
        algo = self.population(parameters, perturbation)
        members = max(algo.members, self.run.record.get("population_members", algo.members))  # of the population that was evaluated
        with rounding_of(self.run, self.device):
            side_by_side = environments_a_member(members, episodes)
            return play(algo, self.run.environment, self.environments, update, episodes, side_by_side=side_by_side, sampled=sampled)

    def replay(
        self,
        parameters: Mapping[str, Tensor],
        update: int,
        recorded: Returns,
        sampled: bool = False,
        strict: bool = True,
        tests: int = 1,
        spread: float = 0.0,
    ) -> Replay:
        """Play the evaluation after `update` again and compare it with `recorded`.

        sampled: its actions were sampled. strict: every episode must be equal on the run's own machine. tests, spread: as in
        `tolerance.compare`. Raises as `play`.
        """
        episodes = recorded.returns.shape[1]
        first = self.play(parameters, update, episodes, sampled=sampled)
        equal = np.isclose(recorded.returns, first.returns, rtol=1e-12, atol=0, equal_nan=True) & (recorded.lengths == first.lengths)
        equal &= np.isclose(recorded.successes, first.successes, equal_nan=True)
        exact = strict and self.same_machine
        failed = np.isnan(first.returns)
        if equal.all() or exact or (failed != np.isnan(recorded.returns)).any():
            return Replay(first, equal, exact)
        alive = ~failed.any(1)
        played = [first.returns[alive]]
        for plays in (self.plays, MORE * self.plays):
            played += [self.play(parameters, update, episodes, k, sampled).returns[alive] for k in range(len(played), plays)]
            comparison = compare(recorded.returns[alive], np.stack(played), spread, tests)
            if comparison.decides or not comparison.within:
                break
        if comparison.seed is not None:  # its position among all seeds
            comparison = comparison._replace(seed=int(np.flatnonzero(alive)[comparison.seed]))
        return Replay(first, equal, exact, comparison, plays)


@contextmanager
def rounding_of(run: LoadedRun, device: torch.device) -> Iterator[None]:
    """Use the threads of the run, which decide on the order of sums, and its precision of products on a GPU, for the block."""
    before = torch.get_num_threads()
    torch.set_num_threads(min(THREADS, run.record.get("threads", before)))
    try:
        with precision_of(run.config, device, lambda line: None):
            yield
    finally:
        torch.set_num_threads(before)


def open_environments(run: LoadedRun, workers: int | None) -> Evaluator:
    """The environments of `run`. Raises RunError for a run without one, DataError for one that is not trusted or cannot be made."""
    return Evaluator(run.env_spec, workers or cores())
