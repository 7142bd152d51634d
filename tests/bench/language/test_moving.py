"""The moving average of a model's parameters."""

from __future__ import annotations

from contextlib import suppress

import pytest
import torch

from bench.language.moving import MovingAverage
from bench.storage.tensors import DamagedError


def model(dtype: torch.dtype = torch.float32) -> torch.nn.Module:
    torch.manual_seed(0)
    net = torch.nn.Sequential(torch.nn.Linear(3, 4), torch.nn.Linear(4, 2)).to(dtype)
    net[0].requires_grad_(False)
    return net


def test_it_follows_the_trained_parameters_in_float32() -> None:
    """Steps that bfloat16 would round away add up."""
    net = model(torch.bfloat16)
    average, expected = MovingAverage(net, 0.001), net[1].weight.detach().double().clone()
    for step in range(50):
        with torch.no_grad():
            net[1].weight.fill_(step % 3)
        average.follow()
        expected = 0.999 * expected + 0.001 * net[1].weight.double()
    assert set(average.values) == {"1.weight", "1.bias"}
    torch.testing.assert_close(average.values["1.weight"].double(), expected, rtol=1e-5, atol=1e-6)


def test_the_model_has_it_within_the_block_and_its_own_parameters_behind_it() -> None:
    net = model()
    average, own, weight = MovingAverage(net, 0.5), [p.detach().clone() for p in net.parameters()], net[1].weight
    with torch.no_grad():
        weight += 2
    average.follow()
    with suppress(ZeroDivisionError), average.used():
        torch.testing.assert_close(weight.detach(), own[2] + 1)
        assert torch.equal(net[0].weight, own[0])
        raise ZeroDivisionError
    assert net[1].weight is weight
    assert torch.equal(weight, own[2] + 2)


def test_it_continues_from_saved_values() -> None:
    first, second = MovingAverage(model(), 0.5), MovingAverage(torch.nn.Sequential(*[torch.nn.Linear(4, 2)] * 2), 0.5)
    shorter, wider = {k: v[:1] for k, v in second.values.items()}, {k: v.double() for k, v in second.values.items()}
    for values in ({}, shorter, wider):
        with pytest.raises(DamagedError):
            second.load(values)
    first.load({name: torch.ones_like(value) for name, value in first.values.items()})
    first.follow()
    torch.testing.assert_close(first.values["1.bias"], 0.5 + 0.5 * model()[1].bias.detach())
