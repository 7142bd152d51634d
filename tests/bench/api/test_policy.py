"""Policies from Python: the environment's units, one observation or a batch, and exported files equal to them."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

import bench
from bench.errors import RunError
from envs.evaluation.rollout import episode_seeds
from tests.helpers.episodes import PENDULUM

METHODS = ("bc", "iql", "td3_bc", "cql", "cfgrl")  # a Gaussian, with and without normalisation; deterministic; squashed; a flow


def test_a_rollout_repeats_the_recorded_episode(run: bench.Run) -> None:
    """Episode 2 of seed 1, played through make_env and the policy, has the recorded return."""
    policy = bench.load_policy(run, seed=1)
    start = int(episode_seeds([1], 40, 3)[0, 2])
    with policy.make_env() as env:
        observation, _ = env.reset(seed=start)
        total, done = 0.0, False
        while not done:
            observation, reward, terminated, truncated, _ = env.step(policy(observation))
            total, done = total + float(reward), terminated or truncated
    rows = run.episodes
    recorded = rows[(rows["update"] == 40) & (rows["seed"] == 1) & (rows["episode"] == 2)]["return"].item()
    assert total == pytest.approx(recorded)


def test_actions_of_a_batch_are_those_of_its_rows(run: bench.Run) -> None:
    policy = run.policy(seed=3)
    batch = np.random.default_rng(0).normal(size=(5, 4))
    actions = policy(batch)
    assert actions.shape == (5, 1)
    np.testing.assert_allclose(np.stack([policy(row) for row in batch]), actions, rtol=1e-5, atol=1e-6)
    assert np.abs(actions).max() <= 3
    assert np.abs(policy(batch) - run.policy(seed=1)(batch)).max() > 1e-3  # seeds are different policies


def test_actions_are_in_the_environments_units(run: bench.Run) -> None:
    """Actions are those of the unit box times 3, the bound of InvertedPendulum's force."""
    policy = run.policy(seed=3)
    observations = torch.from_numpy(np.random.default_rng(1).normal(size=(4, 4)).astype(np.float32))
    unit = policy.algo.act(observations[None])[0].numpy()
    np.testing.assert_allclose(policy(observations.numpy()), 3 * unit, rtol=1e-6)


def test_the_action_is_the_mean_of_the_gaussian(workplace: Path, small_keys: dict[str, Any]) -> None:
    """Written out: tanh of the network, scaled to InvertedPendulum's bounds of 3."""
    policy = bench.train("bc", PENDULUM, [3, 1], settings={"hidden": [8], "updates": 20}, **small_keys).policy(seed=1)
    batch = np.random.default_rng(0).normal(size=(5, 4))
    parameters = {name: value[0].numpy() for name, value in policy.algo.policy().items()}
    hidden = np.maximum(batch @ parameters["0.weight"] + parameters["0.bias"], 0)
    mean = np.tanh(hidden @ parameters["1.weight"] + parameters["1.bias"])
    np.testing.assert_allclose(policy(batch), 3 * mean, rtol=1e-5, atol=1e-6)
    with policy.make_env() as env:
        assert env.action_space.contains(policy(env.reset(seed=0)[0]))


@pytest.mark.parametrize("shape", [(3,), (2, 3), (1, 2, 4)])
def test_wrong_shapes_are_one_line(run: bench.Run, shape: tuple[int, ...]) -> None:
    with pytest.raises(RunError, match=r"expected \(4,\) or \(B, 4\)"):
        run.policy()(np.zeros(shape))


def test_an_unknown_seed_is_one_line(run: bench.Run) -> None:
    with pytest.raises(RunError, match="no seed 7; it has 3, 1"):
        run.policy(seed=7)


@pytest.mark.filterwarnings("ignore:.torch.jit.load. is deprecated")
@pytest.mark.parametrize("suffix", [".pt", ".onnx"])
@pytest.mark.parametrize("algo", METHODS)
def test_exported_policies_equal_the_original(workplace: Path, tmp_path: Path, small_keys: dict[str, Any], algo: str, suffix: str) -> None:
    settings: dict[str, Any] = {"hidden": [8], "updates": 20, "batch_size": 16}
    settings |= {"iql": {"normalize_observations": True}, "cfgrl": {"steps": 4}}.get(algo, {})
    policy = bench.train(algo, PENDULUM, [0, 5], settings=settings, **small_keys).policy(seed=5)
    batch = 3 * np.random.default_rng(2).normal(size=(7, 4)).astype(np.float32)
    path = policy.export(tmp_path / f"policy{suffix}")
    if suffix == ".pt":
        found = torch.jit.load(path)(torch.from_numpy(batch)).numpy()
    else:
        found = pytest.importorskip("onnxruntime").InferenceSession(str(path)).run(None, {"observations": batch})[0]
    np.testing.assert_allclose(found, policy(batch), rtol=0, atol=1e-5)
    assert [p.name for p in tmp_path.iterdir()] == [f"policy{suffix}"]


def test_other_formats_are_refused(run: bench.Run, tmp_path: Path) -> None:
    with pytest.raises(RunError, match=r"expected a name that ends in \.onnx or \.pt"):
        run.policy().export(tmp_path / "policy.h5")
    assert not list(tmp_path.iterdir())


def test_without_onnx_the_command_to_install_it_is_named(run: bench.Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("bench.api.export.find_spec", lambda name: None)
    with pytest.raises(RunError, match=r"pip install 'iwsft-bench\[onnx\]'"):
        run.policy().export(tmp_path / "policy.onnx")
