"""Engine and precision of a run, and their fallbacks."""

from __future__ import annotations

import os
from contextlib import nullcontext
from dataclasses import replace
from typing import Any

import pytest
import torch

from algos.batches.sampling import Sampler
from algos.engines import WithFallback
from algos.errors import ConfigError
from bench.speed.options import MeasureOptions
from bench.storage.rundir import RunDir
from bench.training.device import apply_engine, arithmetic, arithmetic_of, current_gpu, device_of, precision_of
from tests.helpers.devices import CPU, GPU, config
from tests.helpers.learners import episodes_of, small


def test_settings_without_effect_on_results_do_not_change_the_hash() -> None:
    base = config()
    assert arithmetic_of(CPU, base) == arithmetic_of(CPU, config(engine="compiled")) == "cpu"
    assert arithmetic_of(GPU, config(precision="tf32")) == "cuda tf32"
    hashes = {RunDir(base, "0", arithmetic("cuda", p)).hash for p in ("float32", "tf32", "bf16")}
    assert len(hashes) == 3


@pytest.fixture
def two_gpus(monkeypatch: pytest.MonkeyPatch) -> list[torch.device]:
    """Let torch find two GPUs; returns the devices that become current."""
    chosen: list[torch.device] = []
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 2)
    monkeypatch.setattr(torch.cuda, "set_device", chosen.append)
    return chosen


def test_a_gpu_by_its_number(two_gpus: list[torch.device]) -> None:
    for name in ("cuda", "cuda:0", "cuda:1"):
        replace(config(), device=name).check()
        assert device_of(name) == torch.device(name)
    assert arithmetic_of(device_of("cuda:1"), config()) == "cuda"  # results do not depend on the number
    with pytest.raises(ConfigError, match=r"^device = cuda:2: this machine has cuda:0, cuda:1$"):
        device_of("cuda:2")


@pytest.mark.parametrize("name", ["gpu", "cuda:", "cuda:-1", "cuda:x", "CUDA", "cuda:1 ", ""])
def test_other_devices_are_refused(name: str) -> None:
    for check in (lambda: replace(config(), device=name).check(), lambda: MeasureOptions(device=name).check()):
        with pytest.raises(ConfigError, match=r"^device = .*expected auto, cpu, cuda, or cuda:N for the GPU number N"):
            check()


@pytest.mark.parametrize(("visible", "seen"), [(None, "1"), ("5,7", "7"), ("GPU-a,GPU-b", "GPU-b")])
def test_the_speed_command_and_its_processes_use_the_gpu(
    two_gpus: list[torch.device], monkeypatch: pytest.MonkeyPatch, visible: str | None, seen: str
) -> None:
    monkeypatch.delenv("CUDA_VISIBLE_DEVICES", raising=False)
    if visible is not None:
        monkeypatch.setenv("CUDA_VISIBLE_DEVICES", visible)
    options = MeasureOptions(device="cuda:1")
    options.check()
    assert options.device == "cuda"
    assert os.environ["CUDA_VISIBLE_DEVICES"] == seen
    assert two_gpus == [torch.device("cuda:1")]


def test_training_makes_its_gpu_the_current_one(monkeypatch: pytest.MonkeyPatch) -> None:
    """Streams and CUDA graphs are made on the current GPU."""
    monkeypatch.setattr(torch.cuda, "device", lambda device: nullcontext(device))
    with current_gpu(torch.device("cuda:1")) as device:
        assert device == torch.device("cuda:1")
    with current_gpu(CPU) as device:
        assert device is None


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
