"""Names, types and shapes of a method's state stay as they are in training: a checkpoint with others is a forged one."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
import torch

from algos.members import misfit
from algos.registry import build_untrained
from bench.config.compose import compose
from envs.data.trajectories import Trajectories
from tests.helpers.paths import ROOT

METHODS = sorted(path.stem for path in (Path(ROOT) / "conf" / "algo").glob("*.yaml"))


@pytest.fixture(scope="module")
def steps() -> Trajectories:
    """Twelve episodes of five steps with random numbers."""
    generator, ends = torch.Generator().manual_seed(0), torch.zeros(60, dtype=torch.bool)
    ends[4::5] = True
    observations, following = (torch.randn(60, 3, generator=generator) for _ in range(2))
    actions, rewards = 1.6 * torch.rand(60, 2, generator=generator) - 0.8, torch.randn(60, generator=generator)
    return Trajectories.from_tensors(
        [observations, actions, rewards, following, ends, torch.zeros_like(ends), torch.arange(0, 61, 5)], num_actions=0
    )


@pytest.mark.parametrize("method", METHODS)
def test_training_changes_no_name_type_or_shape_of_the_state(method: str, steps: Trajectories) -> None:
    config = replace(compose([f"algo={method}"]).algo, hidden=[8], batch_size=8, updates=4)
    algo = build_untrained(config, steps, [0, 1])
    before = {name: value.clone() for name, value in algo.checkpoint(2).items()}
    algo.train(0, 2)
    assert misfit(algo.checkpoint(2), before) is None
