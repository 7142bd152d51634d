"""A small version of `make chaos`, and checks that its counts detect lost and changed results."""

from __future__ import annotations

import errno
import signal
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from bench.storage import locks
from bench.storage.rundir import Resumed, RunDir
from bench.training.population import run_dir
from bench.training.run import train_runs
from tests.helpers import chaos
from tests.helpers.episodes import random_episodes, write_minari


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunDir]:
    """An undisturbed run, with environments stepped in this process."""
    poll = locks.POLL
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("MINARI_DATASETS_PATH", str(tmp_path_factory.mktemp("minari")))
        write_minari(chaos.ID, random_episodes(30, obs=4, act=1), ref_min_score=5.0, ref_max_score=1000.0)
        config = chaos.small(tmp_path_factory.mktemp("whole"))
        train_runs([config], chaos.shared)
        yield run_dir(config, chaos.shared)
        chaos.shared.close()
        locks.POLL = poll


def test_faults_lose_and_change_no_result(whole: RunDir, tmp_path: Path) -> None:
    outcomes = [
        chaos.killed_at_random(tmp_path / "a", whole, 3),
        chaos.killed_at_random(tmp_path / "b", whole, 1, signal.SIGTERM),
        chaos.killed_at_every_write(tmp_path / "c", whole, 3),
        chaos.failing_writes(tmp_path / "d", whole, 2, errno.ENOSPC, "disk full"),
        chaos.file_too_large(tmp_path / "e", whole, 1),
        chaos.read_only(tmp_path / "f", whole),
        chaos.failing_member(tmp_path / "g", whole, 1),
        chaos.out_of_memory(tmp_path / "h", whole, 1),
        chaos.jumping_clock(tmp_path / "i", whole, 1),
        chaos.damaged_checkpoints(tmp_path / "j", whole, 2),
        chaos.damaged_cache(tmp_path / "k", whole, 2),
    ]
    assert [(o.lost, o.changed) for o in outcomes] == [(0, 0)] * len(outcomes), outcomes
    assert all(o.times for o in outcomes), outcomes


def test_faults_of_worker_processes_lose_and_change_no_result(whole: RunDir, tmp_path: Path) -> None:
    config = chaos.small(tmp_path / "whole", processes=2)
    train_runs([config], chaos.shared)
    workers = run_dir(config, chaos.shared)
    outcomes = [chaos.killed_at_random(tmp_path / "a", workers, 3, processes=2), chaos.trainers_killed(tmp_path / "b", workers, 3)]
    assert [(o.times, o.lost, o.changed) for o in outcomes] == [(3, 0, 0)] * 2, outcomes


def test_many_processes_in_one_folder_lose_and_change_no_result(whole: RunDir, tmp_path: Path) -> None:
    outcome = chaos.many_processes(tmp_path, 4, 12, 4)
    assert (outcome.lost, outcome.changed) == (0, 0)


def test_a_resume_without_adams_moments_is_counted(whole: RunDir, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A negative control: this resume loses Adam's moments."""
    resume = RunDir.resume

    def forgets(self: RunDir, *point: Any) -> Resumed | None:
        found = resume(self, *point)
        return found and found._replace(state={k: v * (0 if "adam" in k else 1) for k, v in found.state.items()})

    monkeypatch.setattr(RunDir, "resume", forgets)
    assert chaos.killed_at_every_write(tmp_path, whole, 9).changed


def test_rows_written_twice_are_counted(whole: RunDir, tmp_path: Path) -> None:
    config = chaos.small(tmp_path)
    train_runs([config], chaos.shared)
    folder = run_dir(config, chaos.shared)
    found = chaos.comparison(whole)
    found.add(folder)
    assert (found.lost, found.changed) == (0, 0)
    table = folder.path / "episodes.csv"
    table.write_text(table.read_text() + table.read_text().splitlines()[-1] + "\n")
    found.add(folder)
    assert (found.lost, found.changed) == (1, 1)
