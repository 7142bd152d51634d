"""Evaluate a finished run again with other evaluation settings, without training: more episodes, or CFGRL's guidance."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import product
from pathlib import Path

import numpy as np

from algos.errors import ConfigError
from bench.numbers import decimals, spell_return
from bench.replay.load import LoadedRun, load_run
from bench.report.render import markdown_row
from bench.results.statistics import summarise
from bench.storage.identity import modes
from bench.storage.layout import Row, episode_columns
from bench.storage.rundir import to_csv
from bench.training.device import cores, device_of
from bench.training.evaluate import episode_rows, play
from envs.evaluation.rollout import Evaluator
from envs.files import write_atomic

EXPECTED = "KEY=VALUE,VALUE,..."


def evaluate(folder: Path, arguments: Sequence[str], workers: int | None = None) -> str:
    """Play the final episodes of the run in `folder` with each combination of `arguments`, such as `guidance=1,1.5` or `episodes=200`.

    Write every episode to evaluation.csv in `folder`; return a Markdown table, one row per combination. Raises ConfigError for a key that
    is not an evaluation setting of the method or a value that it refuses, RunError for a run that cannot be loaded.
    """
    run, device = load_run(folder), device_of("auto")
    settings, episodes, actions = parse(run, arguments)
    combinations = [dict(zip(settings, values, strict=True)) for values in product(*settings.values())]
    populations = [
        run.population(settings=combination, device=device) for combination in combinations
    ]  # checked before the first is played
    rows: list[Row] = []
    head = [*settings, *(["actions"] if actions != "mean" else []), "return", "score", "95 % interval"]
    lines = [markdown_row(head), markdown_row(["---:"] * len(head))]
    with Evaluator(run.env_spec, workers or cores()) as environments:
        for combination, algo in zip(combinations, populations, strict=True):
            for sampled in modes(actions, last=True):
                played = play(algo, run.environment, environments, run.record["updates"], episodes, sampled=sampled)
                found = episode_rows(algo.seeds, run.record["updates"], played, None if actions == "mean" else sampled)
                rows += [{**combination, **row} for row in found]
                shown = [f"{value:g}" for value in combination.values()] + (["sampled" if sampled else "mean"] if actions != "mean" else [])
                lines.append(markdown_row([*shown, *_summary(run, found)]))
    write_atomic(folder / "evaluation.csv", to_csv(rows, (*settings, *episode_columns(rows))))
    return "\n".join([*lines, ""])


def parse(run: LoadedRun, arguments: Sequence[str]) -> tuple[dict[str, list[float]], int, str]:
    """Parse KEY=VALUE,VALUE,... into (values by evaluation setting of the method, episodes, actions). Raises ConfigError."""
    known = run.config.algo.evaluation_settings
    settings: dict[str, list[float]] = {}
    actions = run.record["actions"]
    for argument in arguments:
        key, _, text = argument.partition("=")
        if key == "actions":
            if text not in ("mean", "sampled", "both"):
                raise ConfigError(f"actions = {text}: expected mean, sampled or both")
            actions = text
            continue
        if key not in (*known, "episodes"):
            keys = ", ".join((*known, "episodes", "actions"))
            raise ConfigError(f"'{argument}': the evaluation settings of {run.config.algo.name} are {keys}; expected {EXPECTED}")
        try:
            settings[key] = [float(value) for value in text.split(",")]
        except ValueError:
            raise ConfigError(f"'{argument}': expected {EXPECTED} with numbers") from None
    episodes = settings.pop("episodes", [run.record["final_episodes"]])
    if len(episodes) != 1 or episodes[0] < 1 or episodes[0] % 1:
        raise ConfigError(f"episodes = {','.join(f'{e:g}' for e in episodes)}: expected one positive whole number")
    return settings, int(episodes[0]), actions


def _summary(run: LoadedRun, rows: Sequence[Row]) -> list[str]:
    """Mean return, mean score and its interval over seeds; the interval of the return without reference scores."""
    means = np.array([np.mean([r["return"] for r in rows if r["seed"] == seed]) for seed in run.config.seeds])
    reference = run.environment.reference
    if reference is None:
        raw, digits = summarise(means), max(1, decimals(float(means.mean())))
        return [spell_return(raw.mean), "-", "-" if np.isnan(raw.low) else f"{raw.low:.{digits}f} to {raw.high:.{digits}f}"]
    score = summarise(reference.score(means))
    interval = "-" if np.isnan(score.low) else f"{score.low:.1f} to {score.high:.1f}"
    return [spell_return(float(means.mean())), f"{score.mean:.1f}", interval]
