"""Train and evaluate from Python, with the command's keys."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from os import PathLike
from pathlib import Path
from typing import Any

import pandas as pd

from algos.errors import ConfigError
from bench.api.keys import config_of
from bench.api.results import Run, load_run
from bench.replay.load import load_run as load_policies
from bench.training.device import cores
from bench.training.evaluate import play
from bench.training.process import keep_freed_memory
from bench.training.run import train_run
from bench.training.shared import Shared
from envs.evaluation.rollout import Evaluator


def train(
    algo: str = "iw_sft_q",
    dataset: str = "iwsft/hopper/medium-replay-v0",
    seeds: Sequence[int] | int = (0, 1, 2),
    *,
    settings: Mapping[str, Any] | None = None,
    **keys: Any,
) -> Run:
    """Train `algo` on `dataset`, one member per seed, and return the finished run.

    The run directory is the command's: `python -m bench algo=... dataset=... seeds=[...]` finds it finished, and an interrupted call
    continues where it was saved.

    Arguments:
        algo: a method's name, a file of conf/algo.
        dataset: an id, or an expression of ids.
        seeds: one member per seed; a number N is seeds 0 to N - 1.
        settings: the method's settings, nested or dotted: {"updates": 3000, "weighting.temperature": 3}.
        keys: other keys of the configuration, groups as mappings: suite="mine", device="cpu", eval={"every": 500, "episodes": 5}.

    Raises ConfigError for a key or value that cannot be used, DataError for such data, RunError for a run that cannot continue.
    """
    keep_freed_memory()
    config = config_of(
        {"algo": algo, "dataset": dataset, "seeds": seeds if isinstance(seeds, int) else list(seeds), **keys}, settings or {}
    )
    if config.population:
        raise ConfigError("population: bench.train trains one setting; use one call a setting, or the command's population.KEY=[...]")
    with Shared() as shared:
        return load_run(train_run(config, shared).path)


def evaluate(run: str | PathLike[str], episodes: int = 10, workers: int | None = None) -> pd.DataFrame:
    """Play `episodes` episodes of every seed's policy and return one row per episode. Actions are the run's (`eval.actions`; of both, the
    mean ones).

    The columns are seed, episode, return (raw, undiscounted), length (steps) and score (empty without reference scores). The first
    episodes start as the run's own final ones did, so up to `eval.final_episodes` of them repeat its record on the same platform.

    Arguments:
        run: a run, or its directory.
        episodes: number per seed.
        workers: processes that step environments; all cores by default.

    Raises ConfigError for fewer than one episode, RunError for a run that is not finished.
    """
    if episodes < 1:
        raise ConfigError(f"episodes = {episodes}: expected a positive number")
    loaded = load_policies(Path(run))
    environment, env_spec, updates = loaded.environment, loaded.env_spec, loaded.record["updates"]
    with Evaluator(env_spec, workers or cores()) as environments:
        played = play(loaded.population(), environment, environments, updates, episodes, sampled=loaded.record["actions"] == "sampled")
    rows = pd.DataFrame(
        {"seed": seed, "episode": e, "return": played.returns[k, e], "length": played.lengths[k, e]}
        for k, seed in enumerate(loaded.config.seeds)
        for e in range(episodes)
    )
    reference = environment.reference
    rows["score"] = float("nan") if reference is None else reference.score(rows["return"].to_numpy())
    return rows
