"""Runs with random returns for `make load`: two suites of 300 runs and 102,000 rows."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
from omegaconf import OmegaConf

from algos.methods.weighted_bc import Kind, WeightedBCConfig, Weighting
from bench.config.schema import Config, EvalConfig
from bench.storage.layout import EPISODE_COLUMNS, digest_of
from bench.storage.rundir import to_csv
from tests.helpers.suites import REFERENCE, with_hashes

SEEDS, EPISODES, FINAL, STOPS = range(4), 5, 20, 14
"""340 rows a run: four seeds, thirteen evaluations of five episodes, and twenty final ones."""


def write_run(suite: Path, algo: str, dataset: str, temperature: float, rng: np.random.Generator) -> None:
    """A finished run with random returns."""
    method = WeightedBCConfig(algo, 100 * STOPS, weighting=Weighting(Kind.trajectory, temperature=temperature))
    config = Config(method, dataset, seeds=list(SEEDS), suite=suite.name, eval=EvalConfig(100, EPISODES, FINAL))
    tree = OmegaConf.to_container(OmegaConf.structured(config))
    name, level = digest_of([algo, dataset, temperature]), rng.normal(500, 100)
    rows = [
        {"update": 100 * k, "seed": s, "episode": e, "return": level * k / STOPS + rng.normal(0, 50), "length": 100}
        for k in range(1, STOPS + 1)
        for s in SEEDS
        for e in range(FINAL if k == STOPS else EPISODES)
    ]
    curve = [{"update": 100 * k, "seed": s, "return_mean": level, "loss": 1.0} for k in range(1, STOPS + 1) for s in SEEDS]
    record = {
        "suite": suite.name, "dataset": dataset, "algo": algo, "seeds": list(SEEDS), "updates": 100 * STOPS, "eval_every": 100,
        "eval_episodes": EPISODES, "final_episodes": FINAL, "last_k": 3, "reference": REFERENCE, "data_return_mean": 250.0,
        "clipped_actions": 0.0, "config_hash": name, "dataset_digest": digest_of(dataset) * 5, "code_revision": "abc", "device": "cpu",
        "parameters": 1000, "defaults": {}, "set_up_time_s": 0.1, "versions": {"python": "3.11"}, "wall_time_s": 12.5, "status": "finished",
    }  # fmt: skip
    folder = suite / "runs" / f"{dataset.replace('/', '-')}-{algo}-{name}"
    folder.mkdir(parents=True)
    (folder / "config.yaml").write_text(OmegaConf.to_yaml(OmegaConf.create(tree)))
    (folder / "episodes.csv").write_text(to_csv(rows, EPISODE_COLUMNS))
    (folder / "curve.csv").write_text(to_csv(curve, list(curve[0])))
    (folder / "run.json").write_text(json.dumps(record))
    with_hashes(folder)


def write_suites(root: Path) -> list[Path]:
    """Two suites of 300 runs and 102,000 rows: twenty methods on fifteen data sets, and 300 settings of one method."""
    rng = np.random.default_rng(0)
    for i in range(300):
        write_run(root / "methods", f"method{i % 20}", f"own/set{i // 20}-v0", 1.0, rng)
        write_run(root / "settings", "iw_sft", "iwsft/hopper/medium-v0", 1 + i / 100, rng)
    return [root / "methods", root / "settings"]
