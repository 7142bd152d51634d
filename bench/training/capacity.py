"""How many members one population may have: what fits the device, or what `trainer.max_members` says.

On a CPU a batch of whole trajectories fills cores and memory by itself, so that nothing is gained by more members than a run has.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch

from algos.batches.sampling import Sampler
from algos.methods.weighted_bc import WeightedBCConfig
from algos.registry import build_untrained
from bench.config.schema import Config
from bench.training.device import device_of
from bench.training.shared import Shared

ON_A_CPU = 16  # the gain was reached at 4, and more than 16 were not measured (docs/populations.md)
SHARE = 0.8  # of a GPU's free memory
ROWS = 64  # observations a member that are acted on at once, as in evaluation


def members_that_fit(configs: Sequence[Config], shared: Shared) -> int:
    """Members that a population of `configs`, which can be trained together, may have."""
    config = configs[0]
    if config.trainer.max_members is not None:
        return config.trainer.max_members
    device = device_of(config.device)
    if device.type == "cpu":
        algo = config.algo
        return 1 if isinstance(algo, WeightedBCConfig) and algo.sampler is Sampler.trajectories else ON_A_CPU
    trajectories = shared.data(config.dataset, config.eval.workers).trajectories.to(device)
    needed = _peak(config, trajectories, device)
    free = torch.cuda.mem_get_info(device)[0] + torch.cuda.memory_reserved(device) - torch.cuda.memory_allocated(device)
    return fitting(free, needed)


def fitting(free: int, needed: int) -> int:
    """Members of `needed` bytes each in a share of `free` bytes, at least one."""
    return max(1, int(SHARE * free / max(1, needed)))


def _peak(config: Config, trajectories: Any, device: torch.device) -> int:
    """Bytes of the GPU that one member takes at most, measured: it is set up, updated, measured and asked for actions."""
    torch.cuda.synchronize(device)
    torch.cuda.reset_peak_memory_stats(device)
    before = torch.cuda.memory_allocated(device)
    exercise(config, trajectories)
    torch.cuda.synchronize(device)
    return torch.cuda.max_memory_allocated(device) - before


def exercise(config: Config, trajectories: Any) -> None:
    """All that a run does with its device, for one member and two updates; a reference policy, if needed, is a random one."""
    algo = build_untrained(config.algo, trajectories, config.seeds[:1])
    algo.train(0, 2)
    algo.diagnostics()
    algo.act(trajectories.observations[:ROWS].unsqueeze(0))
