"""Engine and precision of a run, and their fallbacks."""

from __future__ import annotations

from typing import Any

import pytest
import torch

from algos.batches.sampling import Sampler
from algos.engines import WithFallback
from bench.storage.rundir import RunDir
from bench.training.device import apply_engine, arithmetic, arithmetic_of, precision_of
from tests.helpers.devices import CPU, GPU, config
from tests.helpers.learners import episodes_of, small


def test_settings_without_effect_on_results_do_not_change_the_hash() -> None:
    base = config()
    assert arithmetic_of(CPU, base) == arithmetic_of(CPU, config(engine="compiled")) == "cpu"
    assert arithmetic_of(GPU, config(precision="tf32")) == "cuda tf32"
    hashes = {RunDir(base, "0", arithmetic("cuda", p)).hash for p in ("float32", "tf32", "bf16")}
    assert len(hashes) == 3


def test_precision_is_restored_after_its_context() -> None:
    before = torch.get_float32_matmul_precision()
    for name, setting in (("bf16", "medium"), ("tf32", "high"), ("float32", "highest")):
        with precision_of(config(precision=name), GPU, print):
            assert torch.get_float32_matmul_precision() == setting
    with pytest.raises(ZeroDivisionError), precision_of(config(precision="bf16"), GPU, print):
        raise ZeroDivisionError
    assert torch.get_float32_matmul_precision() == before


@pytest.mark.parametrize(
    ("name", "said"),
    [("auto", []), ("eager", []), ("captured", ["trainer.engine = captured: CUDA graphs need a GPU; falling back to eager"])],
)
def test_engines_on_a_cpu(name: str, said: list[str]) -> None:
    algo, lines = small("iql", episodes_of()), []
    apply_engine(algo, config(engine=name), lines.append)
    assert lines == said
    assert algo.engine == algo.step


def test_whole_trajectories_are_not_compiled() -> None:
    from algos.methods.weighted_bc import WeightedBC, WeightedBCConfig

    algo = WeightedBC(WeightedBCConfig(updates=5, hidden=[4], sampler=Sampler.trajectories), episodes_of(), [0])
    lines: list[str] = []
    apply_engine(algo, config(engine="compiled"), lines.append)
    assert lines == ["trainer.engine = compiled: batches of whole trajectories differ in shape; falling back to eager"]
    assert algo.engine == algo.step


def test_an_engine_that_fails_at_once_falls_back_with_a_reason() -> None:
    straight, algo = small("iql", episodes_of()), small("iql", episodes_of())
    lines: list[str] = []

    def broken(phase: int, draws: Any) -> Any:
        raise RuntimeError("no compiler here\nand much more")

    algo.engine = WithFallback(algo, broken, "compiled", lines.append)
    straight.train(0, 4)
    algo.train(0, 4)
    assert lines == ["engine compiled: RuntimeError: no compiler here; falling back to engine eager"]
    assert torch.equal(straight.state["policy"], algo.state["policy"])


def test_an_engine_that_worked_and_then_fails_is_an_error() -> None:
    algo = small("iql", episodes_of())
    calls: list[int] = []

    def fails_later(phase: int, draws: Any) -> Any:
        calls.append(phase)
        if len(calls) > 2:
            raise RuntimeError("lost")
        return algo.step(phase, draws)

    algo.engine = WithFallback(algo, fails_later, "captured", print)
    with pytest.raises(RuntimeError, match="lost"):
        algo.train(0, 5)
