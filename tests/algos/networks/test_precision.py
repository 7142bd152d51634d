"""Hidden layers in bfloat16: the numbers that are rounded, and the line printed if a processor is no faster with them."""

from __future__ import annotations

import threading

import pytest
import torch
from torch import Tensor

from algos.methods.weighted_bc import Kind, Start, WeightedBC, WeightedBCConfig, Weighting
from algos.networks.fast_mlp import IN_ONE_PIECE, NARROW, Dense, dense, forward, input_gradient, layers, linear, weight_gradient
from algos.networks.mlp import MLP, Layout
from algos.networks.precision import hidden_dtype, hidden_in_bfloat16, ordinary_operations
from bench.storage.rundir import RunDir
from bench.training import choice as execution
from bench.training.choice import precision_on
from bench.training.device import apply_engine, arithmetic, arithmetic_of, precision_of
from tests.helpers.devices import CPU, GPU, config
from tests.helpers.learners import episodes_of, small

SIZES = (5, 24, 40, 24, 2)
STEP = 2.0**-8  # between two bfloat16 numbers around 1


def tensors(sizes: tuple[int, ...] = SIZES) -> tuple[Tensor, Tensor]:
    generator = torch.Generator().manual_seed(0)
    flat = Layout(MLP(sizes).shapes).flatten(MLP(sizes).init([generator] * 3))
    return flat.requires_grad_(), torch.randn(3, 50, sizes[0], generator=generator).requires_grad_()


def relative_difference(a: Tensor, b: Tensor) -> float:
    """Root mean square of the difference, relative to that of `b`."""
    a, b = a.detach(), b.detach()
    return float((a - b).square().mean().sqrt() / b.square().mean().sqrt())


def derivatives(found: Tensor, *by: Tensor) -> tuple[Tensor, ...]:
    return torch.autograd.grad(found.square().sum(), by)


def test_only_hidden_layers_are_rounded() -> None:
    flat, x = tensors()
    plain = dense(flat, x, SIZES)
    with hidden_in_bfloat16():
        rounded = dense(flat, x, SIZES)
    assert rounded.dtype == torch.float32
    assert 0 < relative_difference(rounded, plain) < 3 * STEP
    for a, b in zip(derivatives(rounded, flat, x), derivatives(plain, flat, x), strict=True):
        assert a.dtype == torch.float32
        assert 0 < relative_difference(a, b) < 12 * STEP
    flat, x = tensors((5, 24, 2))  # no layer between the first and the last
    with hidden_in_bfloat16():
        assert torch.equal(dense(flat, x, (5, 24, 2)), forward(flat, x, (5, 24, 2), torch.float32))


def test_gradients_of_biases_are_summed_in_float32() -> None:
    """The bias gradient of the last hidden layer sums float32 numbers."""
    sizes = (5, 24, 24, 2)
    flat, x = tensors(sizes)
    (first, b1), (second, b2), (last, _) = layers(flat.detach(), sizes)
    into = linear(x.detach(), first, b1, torch.float32).relu()
    out = linear(into, second, b2, torch.bfloat16)
    (found,) = torch.autograd.grad(Dense.apply(flat, x, sizes, torch.bfloat16).sum(), flat)
    expected = ((out > 0) * last.sum(2).unsqueeze(1)).sum(1)
    torch.testing.assert_close(layers(found, sizes)[1][1].squeeze(1), expected, rtol=1e-5, atol=1e-5)


def test_the_one_node_network_equals_ordinary_operations() -> None:
    """Values, first and second derivatives agree up to the rounding of sums."""
    flat, x = tensors()
    found, expected = Dense.apply(flat, x, SIZES, torch.bfloat16), forward(flat, x, SIZES, torch.bfloat16)
    assert relative_difference(found, expected) < STEP
    for a, b in zip(derivatives(found, flat, x), derivatives(expected, flat, x), strict=True):
        assert relative_difference(a, b) < STEP
    seconds = []
    for network in (Dense.apply, forward):
        (slope,) = torch.autograd.grad(network(flat, x, SIZES, torch.bfloat16).square().sum(), x, create_graph=True)
        seconds.append(derivatives(slope, flat, x))
    for a, b in zip(*seconds, strict=True):
        assert relative_difference(a, b) < STEP


@pytest.mark.parametrize("layer_norm", [False, True])
def test_every_network_rounds_its_hidden_layers(layer_norm: bool) -> None:
    net = MLP(SIZES, layer_norm)
    params = net.init([torch.Generator().manual_seed(k) for k in range(3)])
    x = torch.randn(3, 50, 5, generator=torch.Generator().manual_seed(9))
    plain = net(params, x)
    with hidden_in_bfloat16():
        assert 0 < relative_difference(net(params, x), plain) < 3 * STEP


def test_bfloat16_holds_in_one_context_and_thread() -> None:
    x = torch.zeros(1)
    seen: list[torch.dtype] = []
    with hidden_in_bfloat16():
        thread = threading.Thread(target=lambda: seen.append(hidden_dtype(x)))
        thread.start()
        thread.join()
        assert hidden_dtype(x) == torch.bfloat16
        assert hidden_dtype(x.double()) == torch.float64
        with hidden_in_bfloat16(False):
            assert hidden_dtype(x) == torch.float32
    assert seen == [torch.float32] == [hidden_dtype(x)]


@pytest.mark.parametrize("name", ["iql", "td3_bc", "rebrac", "edac", "cfgrl"])
def test_updates_are_rounded_and_policies_act_in_float32(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(execution, "has_bfloat16", lambda: True)
    exact, rounded = (small(name, episodes_of(), (3, 8), "algo.hidden=[16,16,16]") for _ in range(2))
    apply_engine(rounded, config(precision="bf16"), print)
    exact.train(0, 20)
    rounded.train(0, 20)
    a, b = exact.state["policy"], rounded.state["policy"]
    assert 0 < (a - b).abs().max() < 20 * 2 * 3e-3  # an update of Adam moves a parameter by at most the learning rate
    assert relative_difference(b, a) < 0.05
    observations = torch.randn(rounded.members, 7, rounded.data.observations.shape[1])
    exact.state = rounded.state
    assert torch.equal(exact.act(observations), rounded.act(observations))


def test_importance_weights_are_computed_in_float32() -> None:
    """log q is computed in float32, as log pi_ref is. If q equals pi_ref, all weights are 1 in bfloat16, too."""
    data = episodes_of()
    weighting = Weighting(Kind.step, temperature=5.0, normalize=False)
    config = WeightedBCConfig("iw", 20, 8, [16, 16, 16], Start.pi_ref, weighting=weighting)
    algo = WeightedBC(config, data, [3, 8], pi_ref=WeightedBC(WeightedBCConfig(hidden=config.hidden), data, [3, 8]).policy())
    with hidden_in_bfloat16():
        weights = algo.weights(algo.state, algo.stream.from_draws(algo.draws(0)))
    torch.testing.assert_close(weights, torch.ones_like(weights), rtol=0, atol=1e-5)


def test_a_processor_without_gain_from_bfloat16_stays_in_float32(monkeypatch: pytest.MonkeyPatch) -> None:
    asked = config(precision="bf16")
    monkeypatch.setattr(execution, "has_bfloat16", lambda: False)
    lines: list[str] = []
    with precision_of(asked, CPU, lines.append):
        pass
    assert lines == ["trainer.precision = bf16: this processor is no faster with it; falling back to float32"]
    algo = small("iql", episodes_of())
    apply_engine(algo, asked, lines.append)
    assert algo.engine == algo.step
    assert arithmetic_of(CPU, asked) == arithmetic("cpu", "float32") == "cpu"
    monkeypatch.setattr(execution, "has_bfloat16", lambda: True)
    with precision_of(asked, CPU, lines.append):
        assert torch.get_float32_matmul_precision() == "highest"  # "medium" is slower on a CPU without AMX
    assert len(lines) == 1
    assert RunDir(asked, "0", arithmetic_of(CPU, asked)).hash != RunDir(asked, "0", "cpu").hash
    assert precision_on(CPU, "tf32") == "float32"
    assert [precision_on(GPU, name) for name in ("tf32", "bf16")] == ["tf32", "bf16"]
    assert arithmetic_of(GPU, asked) == "cuda bf16"


@pytest.mark.parametrize("width", [1, 2, IN_ONE_PIECE, IN_ONE_PIECE + 1, NARROW, NARROW + 1])
def test_narrow_layers_compute_the_same_products(width: int) -> None:
    generator = torch.Generator().manual_seed(1)
    x, weight, bias, grad = (
        torch.randn(shape, generator=generator, dtype=torch.float64) for shape in ((3, 9, 30), (3, 30, width), (3, 1, width), (3, 9, width))
    )
    torch.testing.assert_close(linear(x, weight, bias, torch.float64), x @ weight + bias)
    with ordinary_operations():
        torch.testing.assert_close(linear(x, weight, bias, torch.float64), x @ weight + bias)
    out = torch.empty_like(weight)
    weight_gradient(out, x, grad)
    torch.testing.assert_close(out, x.mT @ grad)
    torch.testing.assert_close(input_gradient(grad, weight), grad @ weight.mT)
