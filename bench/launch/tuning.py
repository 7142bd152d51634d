"""Tuning: `hydra/sweeper=optuna` proposes configurations of one method on one data set and maximises `objective`.

Trials are runs like any other, in the suite's folder: `configs_tried` of its leaderboard counts them. The best of many draws flatters: its
score is the one that it was chosen by. `advice` says how to measure it on seeds that had no part in the choice.
"""

from __future__ import annotations

import json
import os
import shlex
from collections.abc import Sequence
from pathlib import Path

from hydra.core.override_parser.types import IntervalSweep, Override, RangeSweep
from omegaconf import DictConfig

from bench.config.saved import read_yaml
from bench.config.schema import Config
from bench.errors import RunError
from bench.storage.rundir import RunDir

TUNABLE = ("algo", "pi_ref", "finetune")  # whatever else is changed makes other numbers than those that a study compares


def is_tuning(hydra: DictConfig) -> bool:
    return hydra.sweeper._target_.endswith(".OptunaSweeper")


def quiet() -> None:
    """Optuna says nothing that this suite does not say."""
    os.environ.setdefault("SQLALCHEMY_SILENCE_UBER_WARNING", "1")  # on being older than 2.0, which Optuna 2 needs it to be
    import optuna

    optuna.logging.set_verbosity(optuna.logging.WARNING)


def objective(config: Config, folder: RunDir) -> float:
    """What tuning maximises: the mean over seeds of the final episodes' score (the raw return, where the data set has no reference).

    Selection is `last`, as in the tables: the last iterate. Raises RunError if a seed failed, or has no final episode.
    """
    from bench.results.episodes import read_episodes, reference_of, selections  # loads pandas, which only tuning needs here

    record = json.loads((folder.path / "run.json").read_text())
    if seeds := record.get("failed_seeds"):
        raise RunError(f"{folder.path}: seeds {', '.join(map(str, seeds))} failed, so that the trial has no score")
    returns = selections(record, read_episodes(folder.path, record))["last"].reindex(list(config.seeds)).to_numpy()
    if not (returns == returns).all():
        raise RunError(f"{folder.path}: a seed has no score, so that the trial has none")
    reference = reference_of(record)
    return float((returns if reference is None else reference.score(returns)).mean())


def trials_ahead(overrides: Sequence[Override]) -> list[list[str]]:
    """Jobs that between them use every choice and both ends of every interval: what is wrong with one is wrong before the first trial.

    Raises RunError for a parameter that cannot be tuned, or if there is none.
    """
    values = {o.get_key_element(): _values(o) for o in overrides}
    swept = [o.get_key_element() for o in overrides if o.is_sweep_override()]
    if not swept:
        raise RunError("hydra/sweeper=optuna: nothing to tune; give a key a range, such as 'algo.weighting.temperature=interval(1,20)'")
    for key in swept:
        if key.split(".")[0] not in TUNABLE:
            raise RunError(f"{key}: cannot be tuned, as its values are not measured alike; tune keys of {', '.join(TUNABLE)}")
    first = {key: found[0] for key, found in values.items()}
    return [[f"{k}={v}" for k, v in (first | {key: value}).items()] for key in swept for value in values[key]]


def _values(override: Override) -> list[str]:
    """What Optuna may give the key: all choices, or the ends."""
    value = override.value()
    if isinstance(value, IntervalSweep):
        return [str(value.start), str(value.end)]
    if isinstance(value, RangeSweep):
        return list(override.sweep_string_iterator())
    return list(override.sweep_string_iterator()) if override.is_sweep_override() else [override.get_value_element_as_str()]


def advice(config: DictConfig) -> str:
    """The best configuration found, and the command that measures it on other seeds."""
    found = read_yaml(Path(config.hydra.sweep.dir) / "optimization_results.yaml")
    best = {str(k): v for k, v in found["best_params"].items()}
    fixed = [o for o in config.hydra.overrides.task if o.split("=")[0].lstrip("+~") not in {*best, "seeds"}]
    fresh = [max(config.seeds) + 1 + i for i in range(len(config.seeds))]
    command = [*fixed, *(f"{k}={v}" for k, v in best.items()), f"seeds={fresh}".replace(" ", "")]
    return (
        f"best of {config.hydra.sweeper.n_trials} trials: {' '.join(f'{k}={v}' for k, v in best.items())}, {found['best_value']:.2f}\n"
        f"That number is the one it was chosen by, and so flatters. On other seeds:\n"
        f"  python -m bench {shlex.join(command)}\n"
    )
