"""Limits of an update: its floating-point operations, and the rate at which the device multiplies matrices and does nothing else.

A product [B, a] x [a, b] takes 2 B a b operations. Only matrix products count, as is usual; everything else is a few per cent of them.
Forward through a network takes F = 2 B sum(a b). Backward, the weights' gradients take F again and the inputs' gradients another F, less
the first layer's, which no method needs. The formula also counts products with a single output, some of which a CPU
computes twice and others as a sum (algos/networks/fast_mlp.py): half a per cent.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise
from typing import Any

import torch
from torch.utils.flop_counter import FlopCounterMode

from algos.methods.weighted_bc import WeightedBCConfig
from bench.speed.workload import Work

SQUARE = {"cpu": 2048, "cuda": 8192}  # side of the large product; a larger one is no faster


def forward(sizes: Sequence[int], batch: int) -> int:
    """Operations of a forward pass through a network with layer widths `sizes`, from input to output."""
    return 2 * batch * sum(a * b for a, b in pairwise(sizes))


def training(sizes: Sequence[int], batch: int) -> int:
    """Operations of a forward pass and a backward pass to the weights."""
    return 3 * forward(sizes, batch) - 2 * batch * sizes[0] * sizes[1]


def needed(config: Any, observation_width: int, action_width: int, batch: int, refreshed_steps: int = 0) -> float | None:
    """Operations that the mathematics of a member's update needs, on average over updates; None for a method without a formula.

    `refreshed_steps`: data steps in each refresh of the trajectory weights (iw_sft_q).
    """
    policy = (observation_width, *config.hidden, action_width)
    q, v = (observation_width + action_width, *config.hidden, 1), (observation_width, *config.hidden, 1)
    imitation = training(policy, batch)
    match config.name:
        case "bc":
            return imitation
        case "iw_sft_q":
            return imitation + forward(policy, refreshed_steps) / config.weighting.refresh_every
        case "iql":
            # min Q_target(s, a); step of V; V(s) and V(s') after it; step of the policy; step of both Q
            return 2 * forward(q, batch) + training(v, batch) + 2 * forward(v, batch) + imitation + 2 * training(q, batch)
        case "td3_bc":
            # pi_target(s'), min Q_target; step of both Q; each `policy_delay` updates the policy's through Q_1, its weights fixed
            delayed = imitation + 2 * forward(q, batch)
            return forward(policy, batch) + 2 * forward(q, batch) + 2 * training(q, batch) + delayed / config.policy_delay
    return None


def counted(work: Work, members: int = 1) -> float:
    """Operations of a member's update, counted by torch over the first updates, enough of them to meet every kind."""
    updates = max(work.cycle, work.rare)
    counter = FlopCounterMode(display=False)
    with counter:
        work.train(0, updates)
    return counter.get_total_flops() / updates / members


def refreshed_steps(config: Any, algo: Any) -> int:
    """Steps of the distinct curated trajectories if the method refreshes trajectory weights, else 0."""
    return len(algo.weights.ratios.steps) if isinstance(config, WeightedBCConfig) and algo.weights.uses_table else 0


def batched(members: int, batch: int, width: int, device: str, dtype: torch.dtype = torch.float32) -> Work:
    """Products [P, B, W] x [P, W, W], a hidden layer of a population; an update is one product."""
    a, b = torch.rand(members, batch, width, device=device), torch.rand(members, width, width, device=device)
    return _products(a.to(dtype), b.to(dtype))


def square(device: str, dtype: torch.dtype = torch.float32) -> Work:
    """Products of two large square matrices; an update is one product."""
    side = SQUARE[device]
    a, b = torch.rand(1, side, side, device=device), torch.rand(1, side, side, device=device)
    return _products(a.to(dtype), b.to(dtype))


def _products(a: torch.Tensor, b: torch.Tensor) -> Work:
    out = torch.empty(len(a), a.shape[1], b.shape[2], device=a.device, dtype=a.dtype)

    def train(start: int, stop: int) -> None:
        for _ in range(start, stop):
            torch.bmm(a, b, out=out)

    return Work(train)
