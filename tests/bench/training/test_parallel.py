"""A population trained by worker processes: the same results, no process left over, errors reported."""

from __future__ import annotations

import os
import signal
import time
from pathlib import Path

import pytest
import torch

from algos.base import Metrics
from algos.methods.weighted_bc import WeightedBCConfig
from bench.config.schema import Config, TrainerConfig
from bench.training.member_groups import out_of_memory
from bench.training.parallel import MemberProcesses, build_population, leaves_a_core, processes_for
from tests.helpers.learners import episodes_of, small

SEEDS = (3, 8, 5)


def in_processes(name: str) -> MemberProcesses:
    data = episodes_of()
    found = build_population(lambda own: small(name, data, SEEDS[own]), len(SEEDS), groups=1, processes=2)
    assert isinstance(found, MemberProcesses)
    return found


def children() -> set[int]:
    return {int(p) for p in Path(f"/proc/self/task/{os.getpid()}/children").read_text().split()}


@pytest.mark.parametrize("name", ["td3_bc", "awr"])
def test_workers_train_the_same_population(name: str) -> None:
    whole, found = small(name, episodes_of(), SEEDS), in_processes(name)
    assert [p.members for p in found.groups] == [1, 2]
    for first, last in ((0, 4), (4, 7)):
        expected, metrics = whole.train(first, last), found.train(first, last)
        for part, value in whole.state.items():
            torch.testing.assert_close(found.state[part], value, rtol=1e-4, atol=1e-6, msg=part)
        assert list(metrics) == list(expected)
        for part, value in expected.items():
            torch.testing.assert_close(metrics[part], value, rtol=1e-4, atol=1e-6, msg=part)
        for part, value in whole.policy().items():
            torch.testing.assert_close(found.policy()[part], value, rtol=1e-4, atol=1e-6, msg=part)
        observations = torch.randn(3, 4, found.data.observations.shape[1])
        torch.testing.assert_close(found.act(observations), whole.act(observations), rtol=1e-4, atol=1e-5)


def test_a_loaded_state_replaces_the_workers_state() -> None:
    uninterrupted, other = in_processes("iql"), in_processes("iql")
    uninterrupted.train(0, 4)
    saved = uninterrupted.state
    other.train(0, 1)  # its workers now have another state
    other.state = saved
    uninterrupted.train(4, 9)
    other.train(4, 9)
    for name, value in uninterrupted.state.items():
        assert torch.equal(other.state[name], value), name
        assert name == "update" or value.ndim == 0 or not torch.equal(saved[name], value), name  # the saved state is a copy


def test_no_worker_outlives_its_population() -> None:
    before = children()
    found = in_processes("td3_bc")
    found.train(0, 1)
    mine = children() - before
    assert len(mine) == 2
    del found
    assert children() == before


def test_the_end_of_another_fork_does_not_end_workers() -> None:
    found = in_processes("td3_bc")
    found.train(0, 1)
    child = os.fork()
    if child == 0:
        del found
        os._exit(0)
    assert os.waitpid(child, 0)[1] == 0
    found.train(1, 2)


def test_workers_end_with_their_parent() -> None:
    """Workers end even if their parent is killed, and hold none of its files open."""
    answers, answer = os.pipe()
    child = os.fork()
    if child == 0:
        found = in_processes("td3_bc")
        found.train(0, 1)
        os.write(answer, " ".join(map(str, (worker.pid for worker in found.workers))).encode())
        os.kill(os.getpid(), signal.SIGKILL)
    os.close(answer)
    pids = [int(p) for p in os.read(answers, 100).split()]
    os.waitpid(child, 0)
    assert len(pids) == 2
    assert os.read(answers, 1) == b""  # no process holds the other end
    os.close(answers)
    deadline = time.monotonic() + 20
    while any(_runs(pid) for pid in pids):
        assert time.monotonic() < deadline
        time.sleep(0.01)


def _runs(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()[0] not in "ZX"
    except OSError:
        return False


def test_signals_to_a_whole_job_do_not_end_workers() -> None:
    found = in_processes("td3_bc")
    found.train(0, 1)
    for worker in found.workers:
        for number in (signal.SIGINT, signal.SIGTERM, signal.SIGUSR1):
            os.kill(worker.pid, number)
    found.train(1, 2)


def test_a_killed_worker_counts_as_out_of_memory() -> None:
    found = in_processes("td3_bc")
    found.train(0, 1)
    os.kill(found.workers[1].pid, signal.SIGKILL)
    with pytest.raises(MemoryError, match="a worker process was killed") as failure:
        found.train(1, 3)
    assert out_of_memory(failure.value)
    assert not found.workers


@pytest.mark.parametrize(("error", "memory"), [(MemoryError("no more"), True), (ValueError("a mistake"), False)])
def test_an_error_of_a_worker_is_raised(error: Exception, memory: bool) -> None:
    found = in_processes("td3_bc")

    def fails(start: int, stop: int) -> Metrics:
        raise error

    found.groups[0].train = fails  # type: ignore[method-assign]
    with pytest.raises(MemoryError if memory else RuntimeError, match=str(error)):
        found.train(0, 2)
    assert not found.workers


@pytest.mark.parametrize(
    ("cores", "asked", "engine", "members", "expected"),
    [(2, None, "auto", 3, 2), (2, None, "auto", 1, 1), (16, None, "auto", 3, 1), (16, None, "eager", 8, 8), (1, None, "auto", 8, 1),
     (2, 4, "auto", 3, 3), (2, 1, "auto", 3, 1), (2, None, "compiled", 3, 2), (2, None, "captured", 3, 1)],
)  # fmt: skip
def test_the_number_of_worker_processes(
    monkeypatch: pytest.MonkeyPatch, cores: int, asked: int | None, engine: str, members: int, expected: int
) -> None:
    monkeypatch.setattr("bench.training.parallel.cores", lambda: cores)
    config = Config(WeightedBCConfig("bc"), trainer=TrainerConfig(processes=asked, engine=engine))
    assert processes_for(config, torch.device("cpu"), members) == expected
    assert processes_for(config, torch.device("cuda"), members) == 1


@pytest.mark.parametrize(
    ("cores", "asked", "members", "device", "expected"),
    [(2, None, 2, "cpu", False), (4, None, 3, "cpu", True), (4, None, 4, "cpu", False), (16, None, 3, "cpu", False),
     (2, 1, 3, "cpu", False), (16, None, 3, "cuda", True), (1, None, 3, "cuda", False)],
)  # fmt: skip
def test_an_evaluation_overlaps_training_that_leaves_a_core(
    monkeypatch: pytest.MonkeyPatch, cores: int, asked: int | None, members: int, device: str, expected: bool
) -> None:
    """One process that trains all members uses every core."""
    monkeypatch.setattr("bench.training.parallel.cores", lambda: cores)
    config = Config(WeightedBCConfig("bc"), trainer=TrainerConfig(processes=asked))
    assert leaves_a_core(config, torch.device(device), members) is expected
