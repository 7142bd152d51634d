"""Policies of unusual action spaces, from data to exported files: every way to act gives the environment's own actions."""

from __future__ import annotations

from importlib import import_module
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

import bench
from tests.helpers import toys

onnxruntime = None if find_spec("onnxruntime") is None else import_module("onnxruntime")
SUFFIXES = (".pt",) if onnxruntime is None else (".pt", ".onnx")
SETTINGS = {"hidden": [8], "updates": 150}


@pytest.fixture
def keys(workplace: Path, monkeypatch: pytest.MonkeyPatch, small_keys: dict[str, Any]) -> dict[str, Any]:
    toys.trust(monkeypatch)
    return small_keys | {"force": True, "pi_ref": {"updates": 150, "learning_rate": 0.03}}


def exported(policy: bench.Policy, folder: Path, suffix: str, batch: np.ndarray) -> np.ndarray:
    path = policy.export(folder / f"policy{suffix}")
    if suffix == ".pt":
        return torch.jit.load(path)(torch.from_numpy(batch)).numpy()
    return onnxruntime.InferenceSession(str(path)).run(None, {"observations": batch})[0]


@pytest.mark.filterwarnings("ignore:.torch.jit.load. is deprecated")
def test_a_cloned_action_that_counts_from_one(keys: dict[str, Any], tmp_path: Path) -> None:
    """Behaviour cloning of data whose every action is 3, of 1, 2 and 3: return 5 of 5."""
    toys.record("toy/numbered-v0", toys.spec("Numbered"), act=lambda _: np.int64(3))
    run = bench.train("bc", "toy/numbered-v0", [0], settings=SETTINGS, **keys)
    assert run.episodes["return"].tolist()[-4:] == [5.0] * 4
    assert bench.evaluate(run, episodes=3)["return"].tolist() == [5.0] * 3
    policy = run.policy()
    batch = np.random.default_rng(0).normal(size=(7, 2)).astype(np.float32)
    assert policy(batch).tolist() == [3] * 7
    for suffix in SUFFIXES:
        assert exported(policy, tmp_path, suffix, batch).tolist() == [3] * 7


@pytest.mark.filterwarnings("ignore:.torch.jit.load. is deprecated")
@pytest.mark.parametrize("dtype", ["int64", "float32"])
def test_a_cloned_action_of_a_box_with_an_entry_of_one_value(keys: dict[str, Any], tmp_path: Path, dtype: str) -> None:
    """Behaviour cloning of (3, 2) within [-4, 4] x {2}."""
    box = {"low": [-4, 2], "high": [4, 2], "dtype": dtype}
    toys.record(f"toy/{dtype}-v0", toys.spec("Boxed", **box), act=lambda _: np.array([3, 2], dtype))
    policy = bench.train("bc", f"toy/{dtype}-v0", [0], settings=SETTINGS, **keys).policy()
    batch = np.random.default_rng(0).normal(size=(7, 2)).astype(np.float32)
    actions = policy(batch)
    assert actions.dtype == dtype
    assert actions[:, 1].tolist() == [2] * 7
    for suffix in SUFFIXES:
        np.testing.assert_allclose(exported(policy, tmp_path, suffix, batch), actions, rtol=0, atol=1e-5)
    at_start = policy(np.zeros(2, np.float32))
    assert policy.make_env().action_space.contains(at_start)
    np.testing.assert_allclose(at_start, [3, 2], atol=0 if dtype == "int64" else 0.3)


def test_a_batch_of_numbers_is_no_one_hot_row(keys: dict[str, Any]) -> None:
    """Observations 2 .. 7, as many as the one-hot row is wide."""
    toys.record("toy/observed-v0", toys.spec("Observed", kind="discrete"))
    policy = bench.train("bc", "toy/observed-v0", [0], settings=SETTINGS, **keys).policy()
    numbers = np.arange(2, 8)
    actions = policy(numbers)
    assert actions.shape == (6, 1)
    np.testing.assert_allclose(actions, policy(np.eye(6, dtype=np.float32)), rtol=1e-6)
    np.testing.assert_allclose(actions[3], policy(5), rtol=1e-6)
    assert policy(np.eye(6, dtype=np.float32)[3]).shape == (1,)
