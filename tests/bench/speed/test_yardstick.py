"""The yardstick trains as the suite does: same losses, same parameters."""

from __future__ import annotations

import math
from typing import Any

import pytest
import torch
from torch import nn

from algos.batches.transitions import Transitions
from algos.registry import build_untrained
from bench.speed.yardstick import TRAINERS, Trainer
from envs.data.trajectories import Trajectories
from tests.helpers.speed import BATCH, config_of

UPDATES = 5


def load(module: nn.Module, flat: torch.Tensor) -> None:
    """Fill a network of the yardstick with the suite's parameters: weights transposed, log_std last."""
    linear = [layer for layer in module.modules() if isinstance(layer, nn.Linear)]
    pieces = [p for layer in linear for p in (layer.weight, layer.bias)]
    pieces += [p for name, p in module.named_parameters() if name == "log_std"]
    at = 0
    for p in pieces:
        part = flat[at : at + p.numel()]
        p.data.copy_(part.view(p.shape[::-1]).T if p.ndim == 2 else part)
        at += p.numel()
    assert at == len(flat)


def flat_of(module: nn.Module) -> torch.Tensor:
    """The parameters of a network in the suite's layout."""
    linear = [layer for layer in module.modules() if isinstance(layer, nn.Linear)]
    parts = [part for layer in linear for part in (layer.weight.T.reshape(-1), layer.bias)]
    return torch.cat([*parts, *(p for name, p in module.named_parameters() if name == "log_std")]).detach()


def paired(method: str, data: Trajectories) -> tuple[Any, Any]:
    """The suite with one member and the yardstick, with the same parameters."""
    torch.manual_seed(1)
    config = config_of(method)
    if method == "iw_sft_q":
        config.weighting.min_trajectories = 0.0  # the data have four curated trajectories: three of them would allow no weights
    algo, plain = build_untrained(config, data, [3]), TRAINERS[method](config, data)
    for name, network in networks(plain).items():
        load(network, algo.state[name][0])
    if method == "iw_sft_q":
        plain.start_from(plain.actor.state_dict())
    return algo, plain


def networks(plain: Any) -> dict[str, nn.Module]:
    """The yardstick's networks under the names that the suite gives their parameters."""
    found = {"policy": "actor", "q": "q", "critic": "critic", "value": "value", "target_critic": "target", "target_policy": "actor_target"}
    return {name: getattr(plain, attribute) for name, attribute in found.items() if hasattr(plain, attribute)}


def recorded(algo: Any) -> list[Any]:
    """Record the batches that the suite uses, in order."""
    seen, make = [], algo.stream.from_draws

    def recording(draws: Any) -> Any:
        seen.append(make(draws))
        return seen[-1]

    algo.stream.from_draws = recording
    return seen


def given(plain: Trainer, batch: Any) -> tuple[torch.Tensor, ...]:
    """The suite's `batch` in the yardstick's form."""
    if isinstance(batch, Transitions):
        return tuple(x[0] for x in batch[1:6])
    step, slot = batch.step[0], batch.slot[0]
    if type(plain).__name__ == "BC":
        return plain.observations[step], plain.actions[step]  # type: ignore[attr-defined]
    return step, slot


@pytest.mark.parametrize("method", list(TRAINERS))
def test_the_yardstick_computes_the_suites_updates(method: str, data: Trajectories) -> None:
    """Losses of equal parameters on the same batch are equal, and so is every network after some updates."""
    algo, plain = paired(method, data)
    seen = recorded(algo)
    for t in range(UPDATES):
        ours = algo.train(t, t + 1)
        losses = plain.update(t, *given(plain, seen[-1]))
        for name, loss in losses.items():
            if name in ours:
                torch.testing.assert_close(loss.detach(), ours[name][0], rtol=1e-5, atol=1e-5, check_dtype=False)
        assert losses
    if method == "iw_sft_q":
        assert algo.state["weights"].std() > 0.01  # the weights differ, so that the test covers them
    for name, network in networks(plain).items():
        torch.testing.assert_close(flat_of(network), algo.state[name][0], rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("method", list(TRAINERS))
def test_the_yardstick_trains_on_batches_of_its_own(method: str, data: Trajectories) -> None:
    plain: Any = TRAINERS[method](config_of(method), data)
    before = flat_of(plain.actor)
    plain.train(0, 4)
    assert plain.sample()[0].shape[0] == BATCH
    assert math.isfinite(next(iter(plain.logged.values())))
    assert not torch.equal(flat_of(plain.actor), before)
