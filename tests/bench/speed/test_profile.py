"""The profile names the kind of every operator and accounts for the whole time of an update."""

from __future__ import annotations

from typing import Any

import pytest

from algos.optimizer import Adam
from bench.speed.options import ProfileOptions, parse
from bench.speed.profile import KINDS, OPTIMISER, SAMPLING, kind_of, kind_of_kernel, profile
from tests.helpers.episodes import PENDULUM


def test_kinds_of_work() -> None:
    """Every operator inside the optimiser counts as the optimiser."""
    assert kind_of("aten::baddbmm", set()) == kind_of("aten::addmm", {"autograd"}) == "matrix products"
    assert kind_of("aten::baddbmm", {OPTIMISER}) == OPTIMISER
    assert kind_of("aten::index", set()) == kind_of("aten::add", {SAMPLING}) == SAMPLING
    assert kind_of("aten::relu", set()) == "elementwise and reductions"
    assert kind_of_kernel("sm90_xmma_gemm_f32f32_f32f32_f32_nn_n_tilesize32x32x8") == "matrix products"
    assert kind_of_kernel("void at::native::index_elementwise_kernel<128, 4>") == kind_of_kernel("Memcpy DtoD") == SAMPLING
    assert kind_of_kernel("void at::native::vectorized_elementwise_kernel<4>") == "elementwise and reductions"


def test_the_profile_adds_up(pendulum_data: Any) -> None:
    pendulum_data()
    shared = ["hidden=[64,64]", "batch=64", f"dataset={PENDULUM}", "device=cpu", "threads=1", "updates=4", "members=2"]
    text = profile(parse(ProfileOptions, ["algo=td3_bc", *shared]))
    table = [line.split(" | ") for line in text.splitlines() if line.startswith("| ")][2:]
    assert [row[0].removeprefix("| ") for row in table] == list(KINDS)
    assert all(float(row[1]) > 0 for row in table)
    assert sum(int(row[2].split("%")[0]) for row in table) == pytest.approx(100, abs=3)
    assert not hasattr(Adam.step, "__wrapped__")
    assert Adam.step.__qualname__ == "Adam.step"  # the range around it is removed
