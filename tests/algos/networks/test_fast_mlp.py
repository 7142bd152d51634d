"""The one-node network equals ordinary operations: values, first and second derivatives, for each choice of gradients."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import Tensor

from algos.networks import fast_mlp as module
from algos.networks.fast_mlp import Dense, dense, forward

SIZES = (5, 7, 6, 2)
LENGTH = 5 * 7 + 7 + 7 * 6 + 6 + 6 * 2 + 2


def tensors(extra: int = 0) -> tuple[Tensor, Tensor]:
    generator = torch.Generator().manual_seed(0)
    flat = torch.randn(3, LENGTH + extra, generator=generator, dtype=torch.float64)
    return flat.requires_grad_(), torch.randn(3, 11, 5, generator=generator, dtype=torch.float64).requires_grad_()


@pytest.mark.parametrize("extra", [0, 4])
@pytest.mark.parametrize("by", [(0, 1), (0,), (1,)])
def test_derivatives(by: tuple[int, ...], extra: int) -> None:
    given = tensors(extra)
    ours = [t if i in by else t.detach() for i, t in enumerate(given)]
    found = Dense.apply(*ours, SIZES, ours[1].dtype)
    expected = forward(*ours, SIZES, ours[1].dtype)
    torch.testing.assert_close(found, expected)
    leaves = [ours[i] for i in by]
    for a, b in zip(torch.autograd.grad(found.square().sum(), leaves), torch.autograd.grad(expected.square().sum(), leaves), strict=True):
        torch.testing.assert_close(a, b)


def test_trailing_parameters_get_no_gradient() -> None:
    flat, x = tensors(4)
    (grad,) = torch.autograd.grad(Dense.apply(flat, x, SIZES, x.dtype).sum(), flat)
    assert torch.equal(grad[:, LENGTH:], torch.zeros(3, 4, dtype=torch.float64))
    assert (grad[:, LENGTH - 2 : LENGTH] == 11).all()


def test_large_networks_are_computed_a_few_members_at_a_time(monkeypatch: pytest.MonkeyPatch) -> None:
    calls: list[int] = []
    monkeypatch.setattr(module, "AT_ONCE", 2 * 11 * 7 * 8)  # two members' widest layer

    def counted(flat: Tensor, x: Tensor, *others: Any, plain: Any = Dense.apply) -> Tensor:
        calls.append(len(x))
        return plain(flat, x, *others)

    monkeypatch.setattr(Dense, "apply", counted)
    given = tensors(4)
    found, expected = dense(*given, SIZES), forward(*given, SIZES, torch.float64)
    assert calls == [2, 1]
    torch.testing.assert_close(found, expected)
    for a, b in zip(torch.autograd.grad(found.square().sum(), given), torch.autograd.grad(expected.square().sum(), given), strict=True):
        torch.testing.assert_close(a, b)


def test_second_derivatives() -> None:
    """Second derivatives equal those of ordinary operations; EDAC needs them, as its loss contains gradients by the action."""
    results = []
    for network in (lambda *a: Dense.apply(*a, SIZES, torch.float64), lambda *a: forward(*a, SIZES, torch.float64)):
        flat, x = tensors()
        (slope,) = torch.autograd.grad(network(flat, x).square().sum(), x, create_graph=True)
        results.append(torch.autograd.grad(slope.square().sum(), (flat, x)))
    for a, b in zip(*results, strict=True):
        torch.testing.assert_close(a, b)
    assert results[0][0].abs().sum() > 0
