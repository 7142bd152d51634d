"""Workers share members over processes, take turns, and report a process that ends early."""

from __future__ import annotations

from typing import Any

import pytest

from bench.errors import RunError
from bench.speed.worker import Setting, running, take_turns
from bench.speed.workload import Workload
from bench.training.process import OPENMP
from tests.helpers.episodes import PENDULUM
from tests.helpers.speed import FakeWorker


def test_a_killed_worker_is_an_error_and_leaves_no_process(pendulum_data: Any) -> None:
    pendulum_data()
    load = Workload("iql", 1, 16, (8, 8), dataset=PENDULUM)
    with running([Setting("suite", load, 1)]) as workers:
        workers[0].processes[0].kill()
        with pytest.raises(RunError, match=r"suite of iql with 1 members ended early \(killed"):
            workers[0].measure(0.01)
    assert workers[0].processes[0].poll() is not None


def test_the_suite_is_measured_with_its_process_settings_and_the_yardstick_with_defaults(pendulum_data: Any) -> None:
    pendulum_data()
    load = Workload("iql", 1, 16, (8, 8), dataset=PENDULUM)
    with running([Setting("suite", load, 1), Setting("yardstick", load, 1, environment="runtime")]) as (suite, yardstick):
        assert suite.spin_counts == [OPENMP["GOMP_SPINCOUNT"]]
        assert yardstick.spin_counts == ["300000"]  # libgomp's default


def test_members_are_shared_evenly_over_processes() -> None:
    setting = Setting("suite", Workload("iql", 7), 1, 3)
    assert [w.members for w in setting.per_process()] == [3, 2, 2]


def test_workers_take_turns() -> None:
    turns: list[str] = []
    suite: Any = [FakeWorker(Setting("suite", Workload("bc", p), 1), turns=turns) for p in (1, 4)]
    plain: Any = [FakeWorker(Setting("yardstick", Workload("bc"), 1), turns=turns)]
    product: Any = [FakeWorker(Setting("limit", Workload("square"), 1), turns=turns)]
    take_turns([suite, plain, product], rounds=2, seconds=2.0)
    once = ["suite1 2 True", "yardstick1 2 True", "limit1 0.5 True", "suite4 2 True"]
    assert turns[:4] == ["suite1 1 False", "yardstick1 1 False", "limit1 0.25 False", "suite4 1 False"]  # warm-up
    assert turns[4:] == [*once, *reversed(once)]
