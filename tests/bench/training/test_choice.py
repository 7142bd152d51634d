"""The choice of engine and precision: short runs stay eager in float32, long ones are compiled in bfloat16 where the processor gains."""

from __future__ import annotations

import os
import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from algos.methods.iql import IQLConfig
from algos.methods.weighted_bc import Sampler, WeightedBCConfig
from bench.config.compose import compose
from bench.config.schema import Config, TrainerConfig
from bench.storage.rundir import RunDir
from bench.training import choice, device
from bench.training.choice import LONG, choose
from bench.training.device import apply_engine, arithmetic_of
from tests.helpers.devices import CPU, GPU
from tests.helpers.learners import episodes_of, small
from tests.helpers.paths import ROOT


def run(updates: int = LONG, method: Any = IQLConfig, **trainer: Any) -> Config:
    return Config(method(updates=updates), trainer=TrainerConfig(**trainer))


@pytest.fixture(params=[True, False], ids=["bfloat16", "no bfloat16"])
def fast(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> bool:
    """A processor that gains from bfloat16, or does not, with a compiler."""
    monkeypatch.setattr(choice, "has_bfloat16", lambda: request.param)
    monkeypatch.setattr(choice, "has_compiler", lambda: True)
    return bool(request.param)


def test_short_runs_are_eager_in_float32_and_say_nothing(fast: bool) -> None:
    for config in (run(LONG - 1), run(method=lambda updates: IQLConfig(updates=updates, hidden=[64, 64])), compose(["suite=quick"])):
        assert choose(config, CPU) == ("eager", "float32", "")
        assert arithmetic_of(CPU, config) == "cpu"


def test_long_runs_use_what_the_processor_has(fast: bool) -> None:
    found = choose(run(), CPU)
    assert found[:2] == (("compiled", "bf16") if fast else ("eager", "float32"))
    said = (
        "engine compiled, precision bf16: 100,000 updates repay" if fast else "engine eager, precision float32: this processor is no faster"
    )
    assert (found.line() or "").startswith(said)
    assert arithmetic_of(CPU, run()) == ("cpu, hidden layers bf16" if fast else "cpu")


@pytest.mark.parametrize(
    ("trainer", "expected"),
    [
        ({"engine": "eager", "precision": "float32"}, ("eager", "float32")),
        ({"engine": "eager"}, ("eager", "bf16")),
        ({"precision": "float32"}, ("eager", "float32")),
        ({"engine": "compiled", "precision": "float32"}, ("compiled", "float32")),
        ({"engine": "captured"}, ("eager", "bf16")),
    ],
)
def test_settings_by_hand_are_kept(trainer: dict[str, str], expected: tuple[str, str], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(choice, "has_bfloat16", lambda: True)
    monkeypatch.setattr(choice, "has_compiler", lambda: True)
    found = choose(run(**trainer), CPU)
    assert found[:2] == expected
    assert (found.line() is None) == (len(trainer) == 2)


def test_without_a_compiler_a_long_run_stays_eager(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(choice, "has_bfloat16", lambda: True)
    monkeypatch.setenv("PATH", "")
    monkeypatch.delenv("CXX", raising=False)
    assert choose(run(), CPU) == ("eager", "bf16", "this processor is faster with bfloat16; no C++ compiler was found")


def test_whole_trajectories_and_gpus_are_as_before(fast: bool) -> None:
    whole = Config(WeightedBCConfig(updates=LONG, sampler=Sampler.trajectories))
    assert choose(whole, CPU) == ("eager", "float32", "")
    assert choose(whole, GPU) == ("eager", "float32", "")
    assert choose(run(), GPU) == ("captured", "float32", "")
    assert choose(run(precision="tf32"), GPU)[:2] == ("captured", "tf32")


def test_pi_ref_is_chosen_by_its_own_updates(monkeypatch: pytest.MonkeyPatch) -> None:
    """Every method shares one pi_ref, whatever its own number of updates."""
    monkeypatch.setattr(choice, "has_bfloat16", lambda: True)
    monkeypatch.setattr(choice, "has_compiler", lambda: True)
    config = compose(["algo=iw_sft", f"algo.updates={LONG}"])
    assert arithmetic_of(CPU, config, config.pi_ref_algo) == "cpu"
    assert arithmetic_of(CPU, config) != "cpu"


def test_the_choice_depends_on_nothing_that_changes_between_two_starts(monkeypatch: pytest.MonkeyPatch) -> None:
    """A run continues in its own directory beside others, with other seeds, threads and load."""
    monkeypatch.setattr(choice, "has_bfloat16", lambda: True)
    first = RunDir(run(), "0", arithmetic_of(CPU, run())).hash
    monkeypatch.setenv("OMP_NUM_THREADS", "7")
    assert RunDir(run(processes=1), "0", arithmetic_of(CPU, run(processes=1))).hash == first
    assert choose(replace(run(), seeds=[5]), CPU) == choose(run(), CPU)


def test_the_choice_is_applied(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(choice, "has_bfloat16", lambda: True)
    monkeypatch.setattr(choice, "has_compiler", lambda: True)
    lines: list[str] = []
    algo = small("iql", episodes_of())
    apply_engine(algo, run(), lines.append)
    assert isinstance(algo.engine, device.InBfloat16)
    assert isinstance(algo.engine.engine, device.WithFallback)
    short = small("iql", episodes_of())
    apply_engine(short, run(LONG - 1), lines.append)
    assert short.engine == short.step
    assert lines == []


def test_compiled_code_is_kept_below_the_users_cache(tmp_path: Path) -> None:
    code = "from bench.training.process import prepare_process; prepare_process(); import os; print(os.environ['TORCHINDUCTOR_CACHE_DIR'])"
    environment = {k: v for k, v in os.environ.items() if k != "TORCHINDUCTOR_CACHE_DIR"} | {"XDG_CACHE_HOME": str(tmp_path)}

    def printed(**more: str) -> str:
        done = subprocess.run([sys.executable, "-c", code], env=environment | more, cwd=ROOT, capture_output=True, text=True, check=True)
        return done.stdout.strip()

    assert printed() == str(tmp_path / "iwsft-bench" / "inductor")
    assert printed(TORCHINDUCTOR_CACHE_DIR="/elsewhere") == "/elsewhere"
