"""One run of a population: its members' place among all, its directory, and what it has measured so far."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
from torch import Tensor

from algos.base import Metrics, State
from bench.config.schema import Config
from bench.loggers import Logger
from bench.storage.rundir import Row, RunDir
from bench.training.evaluate import episode_rows
from envs.data.references import Reference
from envs.evaluation.rollout import Returns


class RunInProgress:
    """The run of `folder`, whose members are `members` of a population of `population`.

    wall_time: seconds of training and evaluation, its members' share of what the population took.
    failed: the seeds whose parameters are no longer finite. They have no policy, and their episodes count as failed.
    """

    def __init__(self, folder: RunDir, members: slice, population: int, apart: str) -> None:
        self.folder, self.members, self.population, self.apart = folder, members, population, apart
        self.config: Config = folder.config
        self.record: Row = {}
        self.logger: Logger | None = None
        self.wall_time = 0.0
        self.episodes: list[Row] = []
        self.curve: list[Row] = []
        self.failed: list[int] = []

    @property
    def share(self) -> float:
        """Of the population's time."""
        return len(self.config.seeds) / self.population

    def measure(self, update: int, played: Returns, measured: Mapping[str, Tensor]) -> None:
        """Keep and log what the population `played` [P, episodes] and `measured` [P] after `update`, as far as it is this run's."""
        own = Returns(*(x[self.members] for x in played))
        self.episodes += episode_rows(self.config.seeds, update, own)
        found = {name: self._own(value).tolist() for name, value in measured.items()}
        new: list[Row] = [
            {"update": update, "seed": seed, "return_mean": float(own.returns[k].mean()), **{name: v[k] for name, v in found.items()}}
            for k, seed in enumerate(self.config.seeds)
        ]
        self.curve += new
        if self.logger is not None:
            self.logger.log(update, new)

    def summary(self, update: int, reference: Reference | None) -> Row:
        """The mean return (and score) of the evaluation after `update`."""
        last = [float(row["return_mean"]) for row in self.curve if int(row["update"]) == update and int(row["seed"]) not in self.failed]
        found: dict[str, Any] = {"return_mean": float(np.mean(last)) if last else float("nan")}
        if reference is not None:
            found["score_mean"] = float(reference.score(np.asarray(found["return_mean"])))
        return found

    def save(self, update: int, state: State, metrics: Metrics | None = None) -> None:
        """Save the run's part of the population's `state` (and, before an evaluation, of its `metrics`); failed members as NaN."""
        own, waiting = ({name: self._own(value) for name, value in values.items()} for values in (state, metrics or {}))
        self.folder.save(update, self.wall_time, own, self.episodes, self.curve, waiting)

    def policy(self, policy: State) -> State:
        """The run's part of the population's `policy`."""
        return {name: self._own(value) for name, value in policy.items()}

    def _own(self, value: Tensor) -> Tensor:
        own = value if value.ndim == 0 else value[self.members]
        if self.failed and own.ndim and own.is_floating_point():
            own = own.clone()
            own[[seed in self.failed for seed in self.config.seeds]] = float("nan")
        return own
