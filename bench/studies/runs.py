"""Studies made of runs: trained by the ordinary runner, read by the ordinary reader, kept as rows.

A study declares cases. Their runs are in OUT/NAME/runs: resumed, skipped when finished, joined into populations like any other. rows.csv
has a row for each case and seed. Rows of earlier calls are kept while a declared case has their `protocol`, so that a long study can be
done data set by data set, on several days or machines.
"""

from __future__ import annotations

import csv
import sys
from collections.abc import Callable, Container, Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from functools import cache
from itertools import groupby
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from algos.networks.policies import Network
from algos.networks.transformer import HEAD
from bench.config.compose import compose
from bench.config.schema import Config
from bench.errors import DataError, RunError, first_line
from bench.results.episodes import counted_returns, of_mode, reference_of
from bench.results.online import COLUMNS, online_results
from bench.results.pooling import pooled
from bench.results.runs import open_run, read_curve
from bench.storage.hashes import FORMAT, settings_hash
from bench.storage.layout import Row, digest_of
from bench.storage.rundir import read_csv
from bench.studies.study import ROWS, Options, write_rows
from bench.training.grouping import max_members, population_key, split
from bench.training.population import run_dir
from bench.training.progress import JobCounter
from bench.training.run import train_runs
from bench.training.shared import Shared
from envs.data.references import Reference

MEAN, SAMPLED = ("score", "return"), ("score_sampled", "return_sampled")
VALUES = (*MEAN, *SAMPLED, "weight_ess", "weight_clipped", "weight_temperature")
"""Columns of results, one value a seed: means over the final episodes, with mean and with sampled actions, and the importance weights after
the last update."""
OF_ONLINE = COLUMNS
"""Further columns of runs with an online phase (bench/results/online.py); `score` is that of the last iterate."""
EVERY = (*VALUES, *OF_ONLINE)
NEEDED = ("return_sampled",)  # of the columns that a study has: those without which a seed is not done
OF_CURVE = {"weight_ess": "weight_ess_share", "weight_clipped": "weight_clipped_share", "weight_temperature": "weight_temperature"}
PROTOCOL = (
    "seeds=10",
    "eval.final_episodes=50",
    "eval.actions=both",
    "eval.episodes=1",
    "eval.every=1000000",
    "trainer.precision=float32",
    "finetune.learning_rate=4e-4",
)
"""Settings of all studies: no evaluation before the last, ten times the paper's learning rate of fine-tuning, because batches hold
transitions, not whole trajectories, and one precision on every machine."""


class Case(NamedTuple):
    """A run of a study: its configuration and the labels of its rows by column.

    shard: the data set that `--only` names it by, "" for its own. own: a function that trains and plays it, for what the runner cannot do:
    VALUES by seed.
    """

    config: Config
    labels: dict[str, Any]
    shard: str = ""
    own: Callable[[Config, Shared], dict[int, dict[str, float]]] | None = None


class Measured(NamedTuple):
    """The result of a seed: VALUES over `episodes` final episodes. data: digest of the trajectories that it was trained on."""

    episodes: int
    values: dict[str, float]
    data: str


Known = dict[tuple[str, int], Measured]
"""Results by protocol and seed."""


@cache
def configured(*overrides: str) -> Config:
    """The configuration of a case: PROTOCOL and `overrides`, in the grammar of the command line. One object for equal overrides: copy it
    with `replace`, do not change it."""
    return compose([*PROTOCOL, *overrides])


def on(datasets: Iterable[str], cases: Sequence[Case]) -> list[Case]:
    """`cases` on each of `datasets`."""
    return [case._replace(config=replace(case.config, dataset=dataset)) for dataset in datasets for case in cases]


def results(study: str, cases: Sequence[Case], options: Options, columns: Sequence[str] = EVERY) -> list[Row]:
    """The rows of `cases` that have been computed, after training those of the data set `options.only` (None: of all) that are missing.

    A row: dataset, the labels, seed, episodes, `columns`, data (digest), protocol. rows.csv is written after every population. Raises
    RunError if there are no rows, and the errors of `train_runs`.
    """
    cases = [case._replace(config=_sized(case.config, study, options)) for case in cases]
    path = options.out / study / ROWS
    known = _kept(path, set(map(protocol, cases)), columns)
    chosen = [case for case in cases if options.train and options.only in (None, case.shard or case.config.dataset)]
    missing = [case for case in chosen if _lacking(known, case)]
    jobs = JobCounter(len(missing))
    with Shared() as shared:
        for group in _groups(missing):
            if group[0].own is None:
                train_runs([case.config for case in group], shared, jobs=jobs)
            for case in group:
                own = case.own and case.own(replace(case.config, seeds=_lacking(known, case)), shared)
                found = _read(case.config, shared) if own is None else own
                data = shared.run_data(case.config).trajectories.digest
                known |= {(protocol(case), seed): _measured(case, values, columns, data) for seed, values in found.items()}
            write_rows(path, _rows(cases, known))
    if not (rows := _rows(cases, known)):
        raise RunError(f"{path}: no rows yet; run python -m bench study {study} without --no-runs")
    return rows


def protocol(case: Case) -> str:
    """A digest of all that determines a seed's result but the number of its episodes.

    Method, pi_ref, data set, format, limit of an episode; precision and engine if they are not those of PROTOCOL. Evaluations on the way
    count in an online phase alone, whose area they give: they change no parameter and no final episode.
    """
    config, own = case.config, case.own and case.own.__name__
    counted = ("max_episode_steps", *(("every", "episodes") if config.online.steps else ()))
    evaluation = {name: getattr(config.eval, name) for name in counted}
    arithmetic = [config.trainer.precision] * (config.trainer.precision != "float32") + [config.trainer.engine] * (
        config.trainer.engine == "compiled"
    )
    return digest_of((FORMAT, settings_hash(config), config.dataset, evaluation, config.env, *([own] if own else []), *arithmetic))


def _groups(cases: Sequence[Case]) -> Iterator[list[Case]]:
    """Neighbours that are trained as one population."""
    for (own, _), similar in groupby(cases, lambda case: (case.own, population_key(case.config))):
        by_config = {id(case.config): case for case in similar}
        size = 1 if own else max_members(cases[0].config)
        yield from ([by_config[id(config)] for config in part] for part in split([c.config for c in by_config.values()], size))


def _sized(config: Config, study: str, options: Options) -> Config:
    """`config` in the study's folder, with the seeds and episodes that `options` name; the size of a test if they are `toy`."""
    if options.toy:
        sequences = getattr(config.algo, "policy", Network.mlp) is Network.transformer
        algo = replace(config.algo, updates=20, hidden=[HEAD] if sequences else [8])
        pi_ref = replace(config.pi_ref, updates=20)
        trainer, evaluation = replace(config.trainer, processes=1), replace(config.eval, final_episodes=2, workers=1)
        online = replace(config.online, steps=min(20, config.online.steps), warmup=min(5, config.online.warmup), every=10)
        config = replace(config, algo=algo, pi_ref=pi_ref, trainer=trainer, eval=evaluation, online=online, seeds=[0, 1])
    seeds = config.seeds if options.seeds is None else list(range(options.seeds))
    evaluation = config.eval if options.episodes is None else replace(config.eval, final_episodes=options.episodes)
    return replace(config, suite=study, results_dir=str(options.out), seeds=seeds, eval=evaluation)


def _lacking(known: Known, case: Case) -> list[int]:
    """The seeds of `case` that are not known from at least its number of episodes, with mean and with sampled actions."""
    found = {seed: known.get((protocol(case), seed)) for seed in case.config.seeds}
    episodes = case.config.eval.final_episodes
    return [
        seed
        for seed, own in found.items()
        if own is None or own.episodes < episodes or not all(np.isfinite(own.values.get(name, 0.0)) for name in NEEDED)
    ]


def _read(config: Config, shared: Shared) -> dict[int, dict[str, float]]:
    """VALUES by seed of a trained run, seeds that portions of it hold included."""
    folder = run_dir(config, shared)
    found: dict[int, dict[str, float]] = {}
    paths = dict.fromkeys(config.seeds, folder.path) if folder.finished else folder.portions()
    for path in dict.fromkeys(paths[seed] for seed in config.seeds):
        record, episodes = open_run(path)
        last = episodes[episodes["update"] == record["updates"]]
        curve, reference = read_curve(path), reference_of(record)
        ended = curve[curve["update"] == record["updates"]].set_index("seed")
        phase = online_results(*pooled([(record, episodes)])[0]) if record.get("online_steps") else None
        for seed in (s for s in config.seeds if paths[s] == path):
            found[seed] = {}
            for names, sampled in ((MEAN, False), (SAMPLED, True)):
                own = of_mode(last[last["seed"] == seed], sampled)
                found[seed] |= scored(names, counted_returns(record, own), reference)
            found[seed] |= {name: float(ended.at[seed, column]) for name, column in OF_CURVE.items() if column in ended}
            found[seed] |= {} if phase is None else {name: float(phase.at[seed, name]) for name in OF_ONLINE}
    return found


def scored(names: tuple[str, str], returns: np.ndarray, reference: Reference | None) -> dict[str, float]:
    """The mean of `returns` as score and return, under `names`; the score is NaN without a reference."""
    mean = float(returns.mean())
    return dict(zip(names, (np.nan if reference is None else float(reference.score(np.asarray(mean))), mean), strict=True))


def _measured(case: Case, values: Mapping[str, float], columns: Sequence[str], data: str) -> Measured:
    """`values` with the six digits that they are read back with."""
    return Measured(case.config.eval.final_episodes, {name: float(f"{values.get(name, np.nan):.6g}") for name in columns}, data)


def _rows(cases: Sequence[Case], known: Known) -> list[Row]:
    """A row for each case and seed that is known; two cases may be the same run."""
    found = []
    for case in cases:
        name = protocol(case)
        for seed in sorted(s for p, s in known if p == name):
            episodes, values, data = known[name, seed]
            if not case.config.online.steps:
                values = {name: value for name, value in values.items() if name not in OF_ONLINE}
            shown = {"dataset": case.config.dataset, **case.labels, "seed": seed, "episodes": episodes, **values}
            found.append({**shown, "data": data, "protocol": name})
    return found


def _kept(path: Path, protocols: Container[str], columns: Sequence[str]) -> Known:
    """The values of the table at `path` that have one of `protocols`. Raises RunError for a damaged table."""
    if not path.is_file():
        return {}
    try:
        rows = read_csv(path)
        known = {
            (row["protocol"], int(row["seed"])): Measured(
                int(row["episodes"]), {name: float(row.get(name) or "nan") for name in columns}, row.get("data") or ""
            )
            for row in rows
            if row["protocol"] in protocols
        }
    except (DataError, KeyError, TypeError, ValueError, csv.Error) as error:
        raise RunError(f"{path}: cannot be read as rows of a study ({first_line(error)}); move it away to begin anew") from error
    if others := sum(row["protocol"] not in protocols for row in rows):
        print(f"{path}: {others} rows of other settings are dropped", file=sys.stderr, flush=True)
    return known
