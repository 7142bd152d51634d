"""Run directories with synthetic returns, for tests of tables, figures and pages."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from omegaconf import OmegaConf

from algos.methods.weighted_bc import WeightedBCConfig, Weighting
from bench.config.saved import read_config
from bench.config.schema import Config
from bench.storage import manifest
from bench.storage.hashes import FORMAT, hashes_again
from bench.storage.identity import evaluations
from bench.storage.layout import digest_of, episode_columns, folder_prefix
from bench.storage.rundir import to_csv

REFERENCE = {"name": "iwsft", "random": 0.0, "expert": 1000.0}  # score = return / 10
EVALUATION = (
    ("every", "eval_every", 100),
    ("episodes", "eval_episodes", 2),
    ("final_episodes", "final_episodes", 4),
    ("last_k", "last_k", 3),
    ("actions", "actions", "mean"),
)
"""Key of `eval`, key of run.json, default."""


def make_run(
    suite: Path,
    algo: str = "bc",
    dataset: str = "iwsft/hopper/medium-v0",
    seeds: Sequence[int] = (0, 1, 2),
    level: float = 300.0,
    change: Callable[[list[dict[str, Any]]], list[dict[str, Any]]] = lambda rows: rows,
    **record: Any,
) -> Path:
    """A finished run of `algo` whose seeds return about `level`.

    change: edits its episode rows. record: changes its run.json, and the keys of config.yaml that determine them.
    """
    rng = np.random.default_rng(int(digest_of([algo, dataset]), 16) % 2**32)
    settings = {name: record.get(key, value) for name, key, value in EVALUATION}
    report = {key: record.get(key, False) for key in ("mixed", "published", "mix_marked")}
    report["configs_tried"] = {algo: record["configs_tried"]} if "configs_tried" in record else {}
    online = {"steps": record.get("online_steps", 0), "every": record.get("online_every")}
    algo_config = WeightedBCConfig(
        algo, record.get("updates", 200) - online["steps"], weighting=Weighting(temperature=record.pop("temperature", 10.0))
    )
    config = Config(algo_config, dataset, seeds=list(seeds))
    tree = OmegaConf.to_container(OmegaConf.structured(config))
    assert isinstance(tree, dict)
    tree |= {
        "online": tree["online"] | online,
        "eval": tree["eval"] | settings,
        "report": report,
        "env": None if settings["final_episodes"] else "none",
    }
    name = digest_of([algo, dataset, list(seeds), record, tree])
    method = digest_of([algo, dataset, record, {k: v for k, v in tree.items() if k != "seeds"}])
    tree["suite"] = suite.name
    rows = [
        {"update": update, "seed": seed, "episode": e, "return": level * update / 200 + 20 * seed + rng.normal(0, 5), "length": 100}
        | ({} if settings["actions"] == "mean" else {"sampled": int(sampled)})
        for update, episodes, sampled in evaluations({"updates": 200} | {key: value for _, key, value in EVALUATION} | record)
        for seed in seeds
        for e in range(episodes)
    ]
    curve = [
        {"update": u, "seed": s, "return_mean": level, "loss": 1.0, "kl_q_pi_ref": 0.1, "weight_ess_share": 0.9, "weight_maximum": 2.0}
        | {"weight_minimum": 0.1, "weight_clipped_share": 0.0}
        for u in sorted({row["update"] for row in rows} or {100, 200})
        for s in seeds
    ]
    if not algo.startswith("iw"):
        curve = [{k: v for k, v in row.items() if not k.startswith(("weight", "kl"))} for row in curve]
    written = {
        "suite": suite.name, "dataset": dataset, "algo": algo, "seeds": list(seeds), "updates": 200, "eval_every": 100,
        "eval_episodes": 2, "final_episodes": 4, "last_k": 3, "reference": REFERENCE, "data_return_mean": 250.0,
        "clipped_actions": 0.0, "config_hash": name, "method_hash": method,
        "settings_hash": digest_of(tree["algo"]), "dataset_digest": digest_of(dataset) * 5, "code_revision": "abc", "device": "cpu",
        "parameters": 1000, "set_up_time_s": 0.1, "versions": {"python": "3.11"}, "wall_time_s": 12.5, "status": "finished",
    }  # fmt: skip
    folder = suite / "runs" / f"{dataset.replace('/', '-')}-{algo}-{name}"
    folder.mkdir(parents=True)
    (folder / "config.yaml").write_text(OmegaConf.to_yaml(OmegaConf.create(tree)))
    (folder / "episodes.csv").write_text(to_csv(rows := change(rows), episode_columns(rows)))
    (folder / "curve.csv").write_text(to_csv(curve, list(curve[0])))
    (folder / "run.json").write_text(json.dumps(written | record))
    return folder


def with_hashes(folder: Path) -> Path:
    """Give the run in `folder` the hashes of this version, and the folder the name that training gives it; returns the new path."""
    record = json.loads((folder / "run.json").read_text()) | {"format": FORMAT, "manifest": True}
    record |= hashes_again(read_config(folder), record)
    new = folder.rename(folder.with_name(folder_prefix(record["dataset"], record["algo"]) + record["config_hash"]))
    (new / "checkpoint.safetensors").write_bytes(b"state" * 100)
    (new / "policy.safetensors").write_bytes(b"policy" * 100)
    text = json.dumps(record)
    manifest.sign(new, {"run.json": text})
    (new / "run.json").write_text(text)
    return new


def make_suite(suite: Path, algos: Sequence[str] = ("bc", "sft", "iw_sft"), datasets: Sequence[str] = ("hopper", "walker2d")) -> Path:
    """A suite in which later methods are better."""
    for i, algo in enumerate(algos):
        for j, name in enumerate(datasets):
            make_run(suite, algo, f"iwsft/{name}/medium-v0", level=300.0 + 200 * i + 50 * j)
    return suite
