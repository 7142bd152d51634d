"""Policies loaded from a run directory act without the training data."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch

from algos.errors import ConfigError
from bench.config.compose import compose
from bench.config.saved import read_config
from bench.errors import RunError
from bench.replay.load import load_run
from bench.storage import manifest
from bench.storage.hashes import hashes_again
from bench.training.evaluate import evaluate
from bench.training.run import train_run
from bench.training.shared import Shared
from envs.errors import DataError
from envs.evaluation.rollout import Evaluator
from tests.helpers.episodes import PENDULUM

SMALL = (
    "algo.hidden=[8]", "seeds=[3,1]", "eval.every=10", "eval.episodes=2", "eval.final_episodes=3", "eval.workers=1", "device=cpu",
    f"dataset={PENDULUM}", "algo.updates=10", "pi_ref.updates=10", "trainer.processes=1",
)  # fmt: skip


@pytest.fixture
def train(pendulum_data: Callable[..., Any], tmp_path: Path) -> Callable[..., Path]:
    """Train a tiny run on PENDULUM, then remove the data set; return the run directory."""

    def call(algo: str, *overrides: str) -> Path:
        pendulum_data(ref_min_score=5.0, ref_max_score=1000.0)
        with Shared() as shared:
            folder = train_run(compose((f"algo={algo}", *SMALL, *overrides, f"results_dir={tmp_path}")), shared).path
        shutil.rmtree(tmp_path / "minari")
        return folder

    return call


METHODS = {
    "filtered_bc": ("algo.curation.score=length", "algo.curation.min_score=5"),
    "iw_sft_q": ("algo.warmup=0.1",),
    "iql": ("algo.reward_scaling=return_range", "algo.batch_size=16"),
    "td3_bc": ("algo.normalize_observations=true", "algo.batch_size=16"),
    "cfgrl": ("algo.steps=3", "algo.batch_size=16"),
}


@pytest.mark.parametrize("method", METHODS)
def test_loaded_policies_play_the_recorded_episodes(method: str, train: Callable[..., Path]) -> None:
    """Curation, reward scaling, observation normalisation and pi_ref depend on the data, and acting does not."""
    loaded = load_run(train(method, *METHODS[method]))
    with Evaluator(loaded.environment.env_spec, 1) as environments:
        rows = evaluate(loaded.population(), loaded.environment, environments, 10, 3, lambda: None)
    recorded = [line.split(",") for line in (loaded.folder / "episodes.csv").read_text().splitlines()]
    assert [[str(v) for v in row.values()] for row in rows] == [line for line in recorded if line[0] == "10"]


def test_missing_seed_and_refused_setting(train: Callable[..., Path]) -> None:
    loaded = load_run(train("cfgrl", *METHODS["cfgrl"]))
    with pytest.raises(RunError, match="has no seed 2; it has 3, 1"):
        loaded.member(2)
    with pytest.raises(ConfigError, match=r"algo\.guidance = -1"):
        loaded.population(settings={"guidance": -1.0})


def test_damaged_runs_are_refused_in_one_line(train: Callable[..., Path]) -> None:
    folder = train("bc")
    record, policy = folder / "run.json", folder / "policy.safetensors"
    content, whole = record.read_text(), policy.read_bytes()

    def refused(match: str) -> None:
        with pytest.raises(RunError, match=match):
            load_run(folder)

    policy.write_bytes(whole[:-1] + bytes([whole[-1] ^ 1]))
    refused("policy.safetensors is damaged .its content is not what manifest.json recorded .*; run it again with force=true")
    manifest.sign(folder)
    refused("policy.safetensors is damaged .its content does not match its digest.; run it again with force=true")
    policy.unlink()
    refused("policy.safetensors is missing; manifest.json lists it")
    policy.write_bytes(whole)
    record.write_text(content.replace('"finished"', '"running"'))
    refused("the run is not finished; its own command completes it")
    record.write_text(json.dumps({k: v for k, v in json.loads(content).items() if k != "environment"}))
    manifest.sign(folder)
    refused("no key 'environment', an earlier version wrote it")
    record.write_text(content[:-3])
    refused("is not JSON")
    record.unlink()
    refused("no run.json in it")
    record.write_text(content)
    manifest.sign(folder)
    config = folder / "config.yaml"
    config.write_text(config.read_text().replace("- 8", "- 9"))
    refused(r"config.yaml is damaged .its content is not what manifest.json recorded at the end of the run.; run it again with force=true")
    manifest.sign(folder)
    refused(r"run.json: config_hash = .*, but config.yaml has .*; the files are of two runs")
    stated = json.loads(content)
    record.write_text(json.dumps(stated | hashes_again(read_config(folder), stated)))
    manifest.sign(folder)
    with pytest.raises(RunError, match=r"0\.weight has shape \(2, 4, 8\), config\.yaml asks for \(2, 4, 9\)"):
        load_run(folder).population()


def test_an_environment_of_an_unknown_package_is_not_made(train: Callable[..., Path]) -> None:
    folder = train("bc")
    record = json.loads((folder / "run.json").read_text())
    spec = json.loads(record["environment"]["spec"])
    record["environment"]["spec"] = json.dumps(spec | {"entry_point": "os:System"})
    (folder / "run.json").write_text(json.dumps(record))
    manifest.sign(folder)
    with pytest.raises(DataError, match="would run 'os:System'"):
        load_run(folder).make_env()


def test_the_population_of_one_seed_has_its_parameters(train: Callable[..., Path]) -> None:
    loaded = load_run(train("bc"))
    single = loaded.population([1])
    assert single.seeds == [1]
    for name, value in single.policy().items():
        assert torch.equal(value[0], loaded.parameters[name][1])  # seeds are [3, 1]
