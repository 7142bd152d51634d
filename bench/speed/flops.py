"""Floating-point operations of one update of one member: counted while it runs, and by a formula of what it cannot do without.

A product [B, a] x [a, b] is 2 B a b operations; only matrix products count, as is usual (all else is a few per cent of them). The formula
has those of a single unit, too, of which a CPU does one twice over and another as no product (algos/networks/products.py): half a per cent.
Forward through a network is F = 2 B sum(a b). Backward, gradients of weights are F again, those of what goes into a layer another F, less
the first layer's where nobody asks for them.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise
from typing import Any

from torch.utils.flop_counter import FlopCounterMode

from algos.methods.weighted_bc import WeightedBCConfig
from bench.speed.workload import Work


def forward(sizes: Sequence[int], batch: int) -> int:
    """Through a network with layer widths `sizes`, from input to output."""
    return 2 * batch * sum(a * b for a, b in pairwise(sizes))


def training(sizes: Sequence[int], batch: int) -> int:
    """Forward, and backward to the weights."""
    return 3 * forward(sizes, batch) - 2 * batch * sizes[0] * sizes[1]


def needed(config: Any, observation_width: int, action_width: int, batch: int, refreshed_steps: int = 0) -> float | None:
    """Operations of an update of a member, on average over updates, that the method's mathematics asks for; None without a formula.

    `refreshed_steps`: data steps that the trajectory weights are computed from (iw_sft_q), each time that they are.
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
            # min Qbar(s, a); V's step; V(s) and V(s') after it; the policy's step; Q's step
            return 2 * forward(q, batch) + training(v, batch) + 2 * forward(v, batch) + imitation + 2 * training(q, batch)
        case "td3_bc":
            # pibar(s'), min Qbar; Q's step; now and then the policy's through Q_1, which needs Q_1's inputs' gradient and no weight's
            now_and_then = imitation + 2 * forward(q, batch)
            return forward(policy, batch) + 2 * forward(q, batch) + 2 * training(q, batch) + now_and_then / config.policy_delay
    return None


def counted(work: Work, members: int = 1) -> float:
    """Operations of an update of a member, counted over the first updates, as many as it takes to meet each kind of them."""
    updates = max(work.cycle, work.rare)
    counter = FlopCounterMode(display=False)
    with counter:
        work.train(0, updates)
    return counter.get_total_flops() / updates / members


def refreshed_steps(config: Any, algo: Any) -> int:
    """Steps of the distinct curated trajectories, where weights are computed from them now and then."""
    return len(algo.kept) if isinstance(config, WeightedBCConfig) and algo.uses_table else 0
