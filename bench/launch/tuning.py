"""Tuning: `hydra/sweeper=optuna` proposes configurations of one method on one data set and maximises `objective`, the score in the
environment or an estimate from logged data (objective=NAME).

Trials are ordinary runs in the suite's folder: `configs_tried` of the leaderboard counts them. The best of many trials is chosen by its
own score, which is therefore biased upwards; `advice` prints the command that measures it on other seeds.
"""

from __future__ import annotations

import os
import shlex
from collections.abc import Sequence
from pathlib import Path

from hydra.core.override_parser.types import IntervalSweep, Override, RangeSweep
from omegaconf import DictConfig

from algos.estimators.policies import has_density
from algos.registry import build_untrained
from bench.config.estimates import ENVIRONMENT, ESTIMATES
from bench.config.saved import read_yaml
from bench.config.schema import Config
from bench.errors import RunError
from bench.storage.identity import env_choice
from bench.storage.record import read_status
from bench.storage.rundir import RunDir
from bench.training.shared import Shared
from envs.errors import DataError
from envs.readers.densities import log_densities

TUNABLE = ("algo", "pi_ref", "finetune")  # groups whose keys leave the protocol as it is, so that scores of trials are comparable


def is_tuning(hydra: DictConfig) -> bool:
    """True if Optuna proposes the jobs."""
    return hydra.sweeper._target_.endswith(".OptunaSweeper")


def silence() -> None:
    """Turn off Optuna's own log lines, and SQLAlchemy's warning about the old version that Optuna 2 needs."""
    os.environ.setdefault("SQLALCHEMY_SILENCE_UBER_WARNING", "1")
    import optuna

    optuna.logging.set_verbosity(optuna.logging.WARNING)


def check_objective(config: DictConfig) -> None:
    """Raise RunError for an objective in a command without a tuner, which nothing would maximise."""
    if config.objective in ESTIMATES and not is_tuning(config.hydra):
        raise RunError(f"objective={config.objective}: only a tuner has an objective; add -m hydra/sweeper=optuna")


def check_trials(configs: Sequence[Config], shared: Shared) -> None:
    """Raise RunError if trials such as `configs` would have no score: known before the first one is trained.

    The environment, the policy's density, or the densities of the logged actions can be missing that the objective needs.
    """
    stated: set[str] = set()
    for config in configs:
        if config.objective == ENVIRONMENT:
            if config.env_choice.without:
                estimates = ", ".join(ESTIMATES)
                raise RunError(f"env=none: a trial without episodes has no score; give env=ID, or an objective without one: {estimates}")
            continue
        needs = ESTIMATES[config.objective]
        if needs.stochastic and not has_density(build_untrained(config.algo, shared.run_data(config).trajectories, config.seeds[:1])):
            raise _no_density(config)
        if needs.behaviour and config.dataset not in stated:
            try:
                log_densities(config.dataset, config.env_choice)
            except DataError as error:
                free = ", ".join(name for name, other in ESTIMATES.items() if not other.behaviour)
                what = f"the log-density of its actions; choose an objective that needs none: {free}"
                raise RunError(f"objective={config.objective}: {error}, {what}") from error
            stated.add(config.dataset)


def objective(config: Config, folder: RunDir) -> float:
    """The number that tuning maximises: mean score over seeds of the last iterate, as in the tables; the raw return without a reference.

    With another objective than the environment, the mean over seeds of that estimate. Raises RunError if a seed failed, has no final
    episode or cannot be estimated.
    """
    from bench.results.episodes import final_returns, reference_of  # imports pandas
    from bench.results.runs import open_run

    record, episodes = open_run(folder.path)
    if seeds := record.get("failed_seeds"):
        raise RunError(f"{folder.path}: seeds {', '.join(map(str, seeds))} failed; the trial has no score")
    if config.objective != ENVIRONMENT:
        return _estimate(config, folder)
    returns = final_returns(record, episodes).reindex(list(config.seeds)).to_numpy()
    if not (returns == returns).all():
        raise RunError(f"{folder.path}: a seed has no final episode; the trial has no score")
    reference = reference_of(record)
    return float((returns if reference is None else reference.score(returns)).mean())


def _estimate(config: Config, folder: RunDir) -> float:
    """Mean over the run's seeds of the estimate that is the objective. Raises RunError for a policy that it cannot rate."""
    from bench.selection.options import Options
    from bench.selection.select import select

    values = select([folder.path], Options(estimators=(config.objective,))).rows["estimate"]
    if values.isna().any():
        raise _no_density(config)
    return float(values.mean())


def _no_density(config: Config) -> RunError:
    return RunError(f"objective={config.objective}: policies of {config.algo.name} have no density; use objective=fqe")


def first_trials(overrides: Sequence[Override]) -> list[list[str]]:
    """Overrides of jobs that use every choice and both ends of every interval, to check them before the first trial.

    Raises RunError for a key that cannot be tuned, or if no key is tuned.
    """
    values = {o.get_key_element(): _values(o) for o in overrides}
    swept = [o.get_key_element() for o in overrides if o.is_sweep_override()]
    if not swept:
        raise RunError("hydra/sweeper=optuna: no key is tuned; give one a range, such as 'algo.weighting.temperature=interval(1,20)'")
    for key in swept:
        if key.split(".")[0] not in TUNABLE:
            groups = f"{', '.join(TUNABLE[:-1])} or {TUNABLE[-1]}"
            raise RunError(f"{key}: cannot be tuned, it changes what is measured; give one value, and tune keys of {groups}")
    first = {key: found[0] for key, found in values.items()}
    return [[f"{k}={v}" for k, v in (first | {key: value}).items()] for key in swept for value in values[key]]


def _values(override: Override) -> list[str]:
    """All choices of the key, or the ends of its interval."""
    value = override.value()
    if isinstance(value, IntervalSweep):
        return [str(value.start), str(value.end)]
    if isinstance(value, RangeSweep):
        return list(override.sweep_string_iterator())
    return list(override.sweep_string_iterator()) if override.is_sweep_override() else [override.get_value_element_as_str()]


def advice(config: DictConfig) -> str:
    """The best configuration found, and the command that measures it on other seeds, in a folder of its own.

    In the suite's own folder, tables would pool the fresh seeds with those that the trial was chosen by.
    """
    found = read_yaml(Path(config.hydra.sweep.dir) / "optimization_results.yaml")
    best = {str(k): v for k, v in found["best_params"].items()}
    dropped = {*best, "seeds", "results_dir", "objective"}
    fixed = [o for o in config.hydra.overrides.task if o.split("=")[0].lstrip("+~") not in dropped]
    fresh = [max(config.seeds) + 1 + i for i in range(len(config.seeds))]
    command = [*fixed, *(f"{k}={v}" for k, v in best.items()), f"seeds={fresh}".replace(" ", "")]
    name = config.algo.name
    command += [f"results_dir={config.results_dir}/chosen", f"report.configs_tried={{{name}:{_tried(config)}}}"]
    command += [f"report.chosen_by={{{name}:{config.objective}}}"]
    what = "score" if config.objective == ENVIRONMENT else f"estimate ({config.objective})"
    return (
        f"best of {config.hydra.sweeper.n_trials} trials: {' '.join(f'{k}={v}' for k, v in best.items())}, {found['best_value']:.2f}\n"
        f"This {what} is biased upwards: the trial was chosen by it. On other seeds:\n"
        f"  python -m bench {shlex.join(command)}\n"
    )


def _tried(config: DictConfig) -> int:
    """The number of configurations in the suite's folder, those that diverged included; at least 1."""
    found, dataset = set(), env_choice(config).label(config.dataset)
    for path in (Path(config.results_dir) / config.suite).glob("runs/*/run.json"):
        record = read_status(path.parent)
        if (record["dataset"], record["algo"]) == (dataset, config.algo.name):
            found.add(record["settings_hash"])
    return max(1, len(found))
