"""A finished CFGRL run scored at many guidance weights, at no training: the run's own overrides behind the weights,

    python -m bench.replay.evaluate 1,1.5,2,3 algo=cfgrl dataset=iwsft/hopper/medium-replay-v0

writes guidance.csv (raw return and length of every episode) into the run's directory and prints a table.
"""

from __future__ import annotations

import sys
from collections.abc import Sequence

import numpy as np

from algos.errors import ConfigError
from algos.methods.cfgrl import CFGRL, CFGRLConfig
from bench.config.compose import compose
from bench.config.mistakes import MISTAKES, stop
from bench.config.schema import Config
from bench.errors import RunError
from bench.report.markdown import row_of
from bench.results.statistics import summarise
from bench.storage.files import write_atomic
from bench.storage.rundir import EPISODE_COLUMNS, Row, RunDir, to_csv
from bench.training.device import arithmetic_of
from bench.training.evaluate import evaluate
from bench.training.shared import data_set, device_of, evaluator

USAGE = "expected weights and a run's overrides: python -m bench.replay.evaluate 1,1.5,3 algo=cfgrl dataset=ID"


def sweep(config: Config, weights: Sequence[float]) -> str:
    """Evaluate the last iterate of the run of `config` at `weights`; returns the table. Raises ConfigError or RunError."""
    if not isinstance(config.algo, CFGRLConfig):
        raise ConfigError(f"algo = {config.algo.name}: only cfgrl is guided")
    device, data = device_of(config.device), data_set(config.dataset)
    folder = RunDir(config, data.trajectories.digest, arithmetic_of(device, config))
    saved = folder.resume() if folder.finished else None
    if saved is None or not saved.state:
        raise RunError(f"{folder.path}: no finished run; train it first: python -m bench with the same overrides")
    algo = CFGRL(config.algo, data.trajectories.to(device), config.seeds)
    algo.state = {k: v.to(device) for k, v in saved.state.items()}
    environments = evaluator(data.env_spec, config.eval.workers)
    rows: list[Row] = []
    reference, lines = data.reference, [row_of(["guidance", "return", "score", "95 % interval"]), row_of(["---", "---:", "---:", "---:"])]
    for weight in weights:
        algo.guidance.fill_(weight)
        played = evaluate(algo, data, environments, algo.updates, config.eval.final_episodes, lambda: None)
        rows += [{"guidance": weight, **row} for row in played]
        a_seed = np.array([np.mean([r["return"] for r in played if r["seed"] == seed]) for seed in algo.seeds])
        score = summarise(np.full(len(a_seed), np.nan) if reference is None else reference.score(a_seed))
        lines.append(row_of([f"{weight:g}", f"{a_seed.mean():.1f}", f"{score.mean:.1f}", f"{score.low:.1f} to {score.high:.1f}"]))
    write_atomic(folder.path / "guidance.csv", to_csv(rows, ("guidance", *EPISODE_COLUMNS)))
    return "\n".join([*lines, ""])


def parse(text: str) -> list[float]:
    """Weights from '1,1.5,3'. Raises ConfigError."""
    try:
        weights = [float(part) for part in text.split(",")]
    except ValueError:
        weights = []
    if not weights or not all(0 <= w < float("inf") for w in weights):
        raise ConfigError(f"guidance weights '{text}': {USAGE}")
    return weights


def main() -> None:
    try:
        if len(sys.argv) < 2:
            raise ConfigError(f"no weights given: {USAGE}")
        weights = parse(sys.argv[1])
        print(sweep(compose(sys.argv[2:]), weights), end="")
    except MISTAKES as error:
        stop(error)


if __name__ == "__main__":
    main()
