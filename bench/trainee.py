"""One run of a population: its members' place among all, its directory, and what it has measured so far."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
from torch import Tensor

from bench.config import Config
from bench.evaluate import episode_rows
from bench.loggers import Logger
from bench.rundir import Row, RunDir
from envs.references import Reference
from envs.rollout import Returns


class Trainee:
    """The run of `folder`, whose members are `members` of a population of `population`.

    wall_time: seconds of training and evaluation, its members' share of what the population took.
    failed: why the run cannot go on, if it cannot; its members then no longer count.
    """

    def __init__(self, folder: RunDir, members: slice, population: int, apart: str) -> None:
        self.folder, self.members, self.population, self.apart = folder, members, population, apart
        self.config: Config = folder.config
        self.record: Row = {}
        self.logger: Logger | None = None
        self.wall_time = 0.0
        self.episodes: list[Row] = []
        self.curve: list[Row] = []
        self.failed = ""

    @property
    def share(self) -> float:
        """Of the population's time."""
        return len(self.config.seeds) / self.population

    def measure(self, update: int, played: Returns, measured: Mapping[str, Tensor]) -> None:
        """Keep and log what the population `played` [P, episodes] and `measured` [P] after `update`, as far as it is this run's."""
        own = Returns(*(x[self.members] for x in played))
        self.episodes += episode_rows(self.config.seeds, update, own)
        found = {name: value[self.members].tolist() for name, value in measured.items()}
        new: list[Row] = [
            {"update": update, "seed": seed, "return_mean": float(own.returns[k].mean()), **{name: v[k] for name, v in found.items()}}
            for k, seed in enumerate(self.config.seeds)
        ]
        self.curve += new
        if self.logger is not None:
            self.logger.log(update, new)

    def summary(self, update: int, reference: Reference | None) -> Row:
        """The mean return (and score) of the evaluation after `update`."""
        last = [float(row["return_mean"]) for row in self.curve if int(row["update"]) == update]
        found: dict[str, Any] = {"return_mean": float(np.mean(last))}
        if reference is not None:
            found["score_mean"] = float(reference.score(np.asarray(found["return_mean"])))
        return found
