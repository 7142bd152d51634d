"""All engines give the same parameters. A replayed recording reads the random numbers of its own call."""

from __future__ import annotations

from typing import Any

import pytest
import torch

from algos.base import Draws, Metrics
from algos.engines import Captured, Compiled, InBfloat16
from algos.members import stacked
from algos.methods.iql import IQL
from algos.registry import build_untrained
from bench.training.member_groups import member_slices
from bench.training.parallel import MemberProcesses
from tests.helpers.engines import compiles, record_without_gpu
from tests.helpers.learners import POINTS, SMALL, configured, episodes_of, few_critics, small

NAMES = ("iql", "td3_bc", "awr", "cql")


@pytest.mark.parametrize("name", NAMES)
def test_replayed_updates_are_the_same(name: str) -> None:
    straight, replayed = (
        small(name, episodes_of(), (3, 8), "algo.refresh_every=4") if name == "awr" else small(name, episodes_of()) for _ in "ab"
    )
    replayed.engine = Captured(replayed, record_without_gpu)
    for start, stop in ((0, 5), (5, 20)):
        expected, found = straight.train(start, stop), replayed.train(start, stop)
        for part in expected:
            assert torch.equal(expected[part], found[part]), part
    for part, value in straight.state.items():
        assert torch.equal(replayed.state[part], value), part


def test_a_recording_with_stale_random_numbers_gives_other_parameters(monkeypatch: pytest.MonkeyPatch) -> None:
    """A check that the comparison above can fail: without a copy of the random numbers, parameters differ."""
    straight, stale = small("iql", episodes_of()), small("iql", episodes_of())
    stale.engine = engine = Captured(stale, record_without_gpu)
    stale.engine(0, stale.draws(0))
    stale.engine = lambda phase, draws: engine(phase, engine.recordings[0].draws)
    straight.train(0, 5)
    stale.train(1, 5)
    assert not torch.allclose(straight.state["policy"], stale.state["policy"])


def test_a_replaced_state_is_recorded_again() -> None:
    straight, replayed = small("iql", episodes_of()), small("iql", episodes_of())
    replayed.engine = Captured(replayed, record_without_gpu)
    straight.train(0, 3)
    replayed.train(0, 3)
    replayed.state = {name: value.clone() for name, value in replayed.state.items()}  # as resuming does
    straight.train(3, 6)
    replayed.train(3, 6)
    assert torch.equal(replayed.state["policy"], straight.state["policy"])


def test_returned_metrics_are_not_overwritten() -> None:
    algo = small("iql", episodes_of())
    algo.engine = Captured(algo, record_without_gpu)
    first = algo.train(0, 2)
    kept = {name: value.clone() for name, value in first.items()}
    algo.train(2, 4)
    assert all(torch.equal(first[name], kept[name]) for name in kept)


@pytest.mark.slow
@compiles
@pytest.mark.parametrize("name", ["iql", "td3_bc", "rebrac", "edac"])
def test_compiled_updates_are_the_same(name: str) -> None:
    straight, compiled = small(name, episodes_of()), small(name, episodes_of())
    compiled.engine = Compiled(compiled)
    straight.train(0, 100)
    compiled.train(0, 100)
    for part, value in straight.state.items():
        torch.testing.assert_close(compiled.state[part], value, rtol=1e-3, atol=2e-5, msg=part)


@pytest.mark.slow
@compiles
def test_compiled_updates_with_hidden_layers_in_bfloat16() -> None:
    """Compiled updates equal eager ones up to rounding between fused operations."""
    exact, straight, compiled = (small("iql", episodes_of(), (3, 8), "algo.hidden=[16,16,16]") for _ in range(3))
    straight.engine, compiled.engine = InBfloat16(straight.step), InBfloat16(Compiled(compiled))
    for algo in (exact, straight, compiled):
        algo.train(0, 100)
    rounding = (straight.state["policy"] - exact.state["policy"]).norm()
    assert 0 < (compiled.state["policy"] - exact.state["policy"]).norm() < 3 * rounding


@compiles
@pytest.mark.slow
def test_worker_processes_compile_for_themselves() -> None:
    data, seeds = episodes_of(), [3, 8, 5]
    straight = small("iql", data, seeds)
    parts = [small("iql", data, seeds[own]) for own in member_slices(3, 2)]
    for part in parts:
        part.engine = Compiled(part)
    processes = MemberProcesses(parts)
    straight.train(0, 30)
    processes.train(0, 20)
    processes.train(20, 30)
    assert not parts[0].engine.updates  # this process compiled no update
    for part, value in straight.state.items():
        torch.testing.assert_close(processes.state[part], value, rtol=1e-3, atol=2e-5, msg=part)


@pytest.mark.slow
@compiles
def test_compiled_populations_of_one_process_do_not_share_code() -> None:
    """A population with other settings and data does not use the code compiled for the first."""
    pairs = []
    for number, temperature in enumerate((0.1, 10.0)):
        pair = [small("iql", episodes_of(number), (3, 8), f"algo.temperature={temperature}") for _ in "ab"]
        pair[1].engine = Compiled(pair[1])
        pairs.append(pair)
    for start, stop in ((0, 10), (10, 40)):
        for pair in pairs:
            for algo in pair:
                algo.train(start, stop)
    for straight, compiled in pairs:
        torch.testing.assert_close(compiled.state["policy"], straight.state["policy"], rtol=1e-3, atol=2e-5)


@pytest.mark.slow
@compiles
def test_compiled_members_may_differ_in_learning_rate() -> None:
    slow, fast = (configured("iql", *SMALL, f"algo.learning_rate={rate}") for rate in (1e-4, 1e-2))
    both, alone = IQL(stacked([slow, fast]), episodes_of(), [3, 3]), IQL(fast, episodes_of(), [3])
    both.engine = Compiled(both)
    both.train(0, 30)
    alone.train(0, 30)
    torch.testing.assert_close(both.state["policy"][1:], alone.state["policy"], rtol=1e-3, atol=2e-5)
    assert not torch.allclose(both.state["policy"][0], both.state["policy"][1], atol=1e-2)


def test_recorded_updates_may_be_those_of_another_engine() -> None:
    """On a GPU compiled updates are captured: the recording calls the engine that it was given, not the eager update."""
    straight, replayed = small("iql", episodes_of()), small("iql", episodes_of())
    calls = []

    def update(phase: int, draws: Draws) -> Metrics:
        calls.append(phase)
        return replayed.step(phase, draws)

    replayed.engine = Captured(replayed, record_without_gpu, update)
    straight.train(0, 5)
    replayed.train(0, 5)
    assert len(calls) > 5
    assert torch.equal(replayed.state["policy"], straight.state["policy"])


ON_GPU = pytest.mark.skipif(not torch.cuda.is_available(), reason="no GPU")


def on_gpu(name: str) -> Any:
    """A small population of method `name` on the GPU."""
    return build_untrained(configured(name, *SMALL, *few_critics(name)), episodes_of().to(torch.device("cuda")), (3, 8))


@ON_GPU
@pytest.mark.parametrize("name", POINTS)
def test_captured_updates_are_the_same_on_a_gpu(name: str) -> None:
    straight, captured = on_gpu(name), on_gpu(name)
    captured.engine = Captured(captured)
    straight.train(0, 100)
    captured.train(0, 100)
    for part, value in straight.state.items():
        torch.testing.assert_close(captured.state[part], value, rtol=1e-3, atol=2e-5, msg=part)


@ON_GPU
@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("name", ["iql", "td3_bc", "iw_sft_q"])
def test_compiled_and_captured_updates_are_the_same_on_a_gpu(name: str) -> None:
    straight, compiled = on_gpu(name), on_gpu(name)
    compiled.engine = Captured(compiled, update=Compiled(compiled))
    straight.train(0, 100)
    compiled.train(0, 100)
    for part, value in straight.state.items():
        torch.testing.assert_close(compiled.state[part], value, rtol=1e-3, atol=2e-5, msg=part)
