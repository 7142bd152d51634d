"""Final episodes of a run are played again from its policies; files of different runs are refused."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from algos.methods.weighted_bc import Start, WeightedBCConfig
from bench.config.saved import load_config
from bench.config.schema import PiRefConfig
from bench.errors import RunError
from bench.replay.verify import compare, verify
from bench.storage.layout import EPISODE_COLUMNS
from bench.storage.rundir import read_csv, to_csv
from bench.storage.tensors import pack, unpack
from bench.training.run import train_run
from bench.training.shared import Shared


def copy_of(run: Path, to: Path, change: float = 0.0) -> Path:
    """A copy of the run with `change` added to the parameters of its policy."""
    for name in ("config.yaml", "episodes.csv"):
        (to / name).write_bytes((run / name).read_bytes())
    record = {k: v for k, v in json.loads((run / "run.json").read_text()).items() if k != "manifest"}
    (to / "run.json").write_text(json.dumps(record))
    policy, metadata = unpack(run / "policy.safetensors")
    (to / "policy.safetensors").write_bytes(pack({name: value + change for name, value in policy.items()}, metadata))
    return to


def test_a_run_reproduces_exactly(finished: Path) -> None:
    verdict = verify(finished, workers=1)
    assert verdict.reproduces
    assert "all 8 episodes equal" in verdict.message


def test_a_run_in_bfloat16_reproduces(finished: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, shared: Shared) -> None:
    """Policies act in float32, those trained in bfloat16 included."""
    monkeypatch.setattr("bench.training.device.has_bfloat16", lambda: True)
    config = load_config(finished)
    config.algo.hidden, config.trainer.precision, config.results_dir = [8, 8, 8], "bf16", str(tmp_path)
    rounded = train_run(config, shared).path
    monkeypatch.setattr("bench.training.device.has_bfloat16", lambda: False)
    verdict = verify(rounded, workers=1)
    assert verdict.reproduces
    assert "all 8 episodes equal" in verdict.message
    assert json.loads((rounded / "run.json").read_text())["precision"] == "bf16"


def test_a_run_whose_pi_ref_saw_other_data_reproduces(finished: Path, tmp_path: Path, shared: Shared) -> None:
    from envs.recorded.record import record

    record("iwsft/hopper/medium-v0", steps=800, workers=1)
    config = load_config(finished)
    pi_ref = PiRefConfig(10, batch_size=32, dataset="iwsft/hopper/medium-v0")
    config = replace(config, algo=WeightedBCConfig("sft", 10, 32, [8], Start.pi_ref), pi_ref=pi_ref, results_dir=str(tmp_path))
    verdict = verify(train_run(config, shared).path, workers=1)
    assert verdict.reproduces


def test_another_policy_does_not_reproduce(finished: Path, tmp_path: Path) -> None:
    verdict = verify(copy_of(finished, tmp_path, 0.5), workers=1)
    assert not verdict.reproduces
    assert "does not reproduce" in verdict.message


def test_files_of_two_runs_are_refused(finished: Path, tmp_path: Path) -> None:
    copy_of(finished, tmp_path)
    config = tmp_path / "config.yaml"
    config.write_text(config.read_text().replace("learning_rate: 0.001", "learning_rate: 0.002"))
    with pytest.raises(RunError, match="the files are of two runs"):
        verify(tmp_path, workers=1)
    copy_of(finished, tmp_path)
    (tmp_path / "run.json").write_text((tmp_path / "run.json").read_text().replace('"dataset_digest": "', '"dataset_digest": "0'))
    with pytest.raises(RunError, match="trained on other data under the name"):
        verify(tmp_path, workers=1)


def test_rounding_is_noise_and_another_level_is_not(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    before = rng.normal(100, 20, (3, 50))
    assert "within the noise" in compare(tmp_path, before, before + rng.normal(0, 5, before.shape), None).message
    assert not compare(tmp_path, before, before + 40, None).reproduces


def test_failed_seeds_reproduce_as_failures(finished: Path, tmp_path: Path) -> None:
    """A policy that is not finite fails again: its episodes count as a random policy's on both sides."""
    rows = read_csv(copy_of(finished, tmp_path) / "episodes.csv")
    failed = [row | ({"return": "nan", "length": "0"} if (row["update"], row["seed"]) == ("20", "1") else {}) for row in rows]
    (tmp_path / "episodes.csv").write_text(to_csv(failed, EPISODE_COLUMNS))
    policy, metadata = unpack(finished / "policy.safetensors")
    for value in policy.values():
        value[1] = float("nan")
    (tmp_path / "policy.safetensors").write_bytes(pack(policy, metadata))
    assert "all 8 episodes equal" in verify(tmp_path, workers=1).message
