"""Devices and a configuration for tests of engines and precisions."""

from __future__ import annotations

from typing import Any

import torch

from bench.config.schema import Config, TrainerConfig
from tests.helpers.learners import episodes_of, small

CPU, GPU = torch.device("cpu"), torch.device("cuda")


def config(**trainer: Any) -> Config:
    """A tiny IQL run with the given settings of `trainer`."""
    return Config(small("iql", episodes_of()).config, trainer=TrainerConfig(**trainer))
