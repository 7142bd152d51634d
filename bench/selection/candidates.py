"""The policies to choose from: those of finished runs, by data set, with their true returns where an environment measured them."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import NamedTuple

import torch

from algos.base import Algo
from bench.config.schema import Config
from bench.errors import RunError
from bench.replay.load import load_run
from bench.results.episodes import final_returns, reference_of
from bench.results.protocol import measured_runs, refuse_mixed
from bench.results.runs import Run, runs_at
from bench.storage.layout import Row
from bench.training.evaluate import finite


class Policy(NamedTuple):
    """One policy: its method, run directory and seed; its true return and score, NaN where none was measured."""

    algo: str
    run: str
    seed: int
    true_return: float
    true_score: float


@dataclass
class Candidates:
    """The policies of the runs on one data set.

    dataset: the data set as tables name it. config, record: of the first run. populations: the policies, whose members are `policies`.
    """

    dataset: str
    config: Config
    record: Row
    policies: list[Policy] = field(default_factory=list)
    populations: list[Algo] = field(default_factory=list)


def candidates(paths: Sequence[Path], device: torch.device) -> list[Candidates]:
    """The policies of the runs and suites at `paths`, by data set. Seeds that failed in training are left out, with a line.

    Raises RunError for a path without finished runs or policies, for run directories of different data sets, and for runs of one data set
    whose returns are of different protocols.
    """
    runs: dict[str, Run] = {}
    single: dict[str, str] = {}  # a run directory that was named, by data set
    for path in paths:
        if not path.exists():
            raise RunError(f"{path}: no such run or suite; expected something like results/quick")
        for run in runs_at(path):
            runs[str(Path(run[0]["folder"]).resolve())] = run
            if path.samefile(run[0]["folder"]):
                single[run[0]["dataset"]] = str(path)
    if len(single) > 1:
        (one, a), (other, b) = list(single.items())[:2]
        raise RunError(f"{a} is on {one} and {b} on {other}: name runs of one data set, or a suite, whose data sets are told apart")
    groups: dict[str, list[Run]] = {}
    for run in runs.values():
        groups.setdefault(run[0]["dataset"], []).append(run)
    found = []
    for dataset, group in groups.items():
        refuse_mixed(dataset, measured_runs([record for record, _ in group]), "choose among runs of one protocol")
        if len({record["dataset_digest"] for record, _ in group}) > 1:
            raise RunError(f"{dataset}: the runs are of different data under one name; choose among runs of the same data")
        found.append(_loaded(dataset, group, device))
    return found


def _loaded(dataset: str, group: Sequence[Run], device: torch.device) -> Candidates:
    """The policies of the runs `group` on `dataset`."""
    found: Candidates | None = None
    for record, episodes in group:
        folder = Path(record["folder"])
        run = load_run(folder)
        found = found or Candidates(dataset, run.config, record)
        whole = finite(run.population())
        seeds = [seed for seed, is_finite in zip(run.config.seeds, whole, strict=True) if is_finite]
        if lost := [seed for seed in run.config.seeds if seed not in seeds]:
            print(f"left out: {folder}: seeds {', '.join(map(str, lost))} failed in training", file=sys.stderr, flush=True)
        if not seeds:
            continue
        returns, reference = final_returns(record, episodes), reference_of(record)
        for seed in seeds:
            value = float(returns.get(seed, float("nan")))
            score = float("nan") if reference is None else float(reference.score(value))  # type: ignore[arg-type]
            found.policies.append(Policy(record["algo"], folder.name, seed, value, score))
        found.populations.append(run.population(seeds, device=device))
    if found is None or not found.policies:
        raise RunError(f"{dataset}: all seeds failed in training; there is no policy to choose")
    return found
