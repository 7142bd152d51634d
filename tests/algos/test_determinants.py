"""A method's determinants are the settings that its result depends on, no more and no fewer: hashes of runs and populations rely on it."""

from __future__ import annotations

from typing import Any

import pytest
import torch

from algos.members import batchable_settings, stacked, with_settings
from algos.methods.weighted_bc import WeightedBC, WeightedBCConfig
from algos.registry import build
from tests.helpers.learners import POINTS, SMALL, configured, episodes_of, few_critics

VALUES = {
    "max_weight": 1e-3, "noise_clip": 1e-3, "expectile": 0.2, "weighting.maximum": 0.9, "weighting.minimum": 1.5, "weighting.ema_rate": 0.9,
    "weighting.min_ess": 0.9999, "weighting.min_trajectories": 99.0,
}  # fmt: skip
"""Values far enough from the defaults to show in twelve updates; twice the default for other settings."""
VARIANTS = (
    *((name,) for name in POINTS),
    ("crr", "algo.weight=binary"), ("marwil", "algo.scale=none"), ("awr", "algo.baseline=none"),
    ("iw_sft", "algo.weighting.kind=step", "algo.weighting.min_trajectories=0"), ("iw_sft", "algo.sampler=trajectories"),
    ("iw_sft", "algo.weighting.rule=authors"), ("iw_sft", "algo.weighting.rule=pareto"),
    ("iw_sft", "algo.weighting.rule=authors", "algo.weighting.kind=step", "algo.weighting.min_trajectories=0"),
)  # fmt: skip


@pytest.mark.parametrize("variant", VARIANTS, ids="-".join)
def test_determinants_are_the_settings_that_members_differ_by(variant: tuple[str, ...]) -> None:
    name, *overrides = variant
    often = ["algo.weighting.refresh_every=2", "algo.learning_rate=0.01"] if name.startswith("iw_") else []
    config: Any = configured(name, *SMALL, *few_critics(name), *often, *overrides)
    names = [k for k in batchable_settings(config) if k not in config.evaluation_settings]
    changed = [with_settings(config, {k: VALUES.get(k, 2 * (batchable_settings(config)[k] or 0.5))}) for k in names]
    data, seeds = episodes_of(count=60), [3] * (1 + len(names))

    def pi_ref() -> dict[str, torch.Tensor]:
        return WeightedBC(WeightedBCConfig(hidden=list(config.hidden)), data, seeds).policy()

    algo = build(stacked([config, *changed]), data, seeds, pi_ref)
    algo.train(0, 12)
    state = [v for k, v in algo.state.items() if v.ndim and not k.endswith(("adam_mean", "adam_square"))]
    for member, (key, other) in enumerate(zip(names, changed, strict=True), 1):
        same = all(torch.allclose(value[0], value[member], rtol=1e-4, atol=1e-7) for value in state)  # up to rounding by place in memory
        assert same == (config.determinants() == other.determinants()), key
