"""The session of a process: numbered jobs, and runs that another process has locked."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import pytest
from omegaconf import OmegaConf

from bench.config.schema import Config
from bench.launch.session import Session, session
from bench.training.progress import JobCounter


def test_jobs_are_numbered() -> None:
    jobs = JobCounter(8)
    assert [jobs.label("bc"), jobs.label("sft", 4), jobs.label("iql")] == ["[1/8] bc", "[2-5/8] sft", "[6/8] iql"]


def test_locked_runs_of_a_sweep_are_trained_at_its_end(monkeypatch: pytest.MonkeyPatch) -> None:
    calls: list[tuple[list[str], bool, int | None]] = []

    def train_runs(configs: Sequence[Config], shared: Any, wait: bool = True, jobs: JobCounter | None = None) -> list[Config]:
        calls.append(([c.suite for c in configs], wait, jobs.total if jobs else None))
        return [] if wait else [c for c in configs if c.suite == "locked"]

    monkeypatch.setattr("bench.launch.session.train_runs", train_runs)
    found = Session()
    found.train([Config(suite="locked")])  # a single run waits
    found.start_sweep(OmegaConf.create(), 2)
    found.train([Config(suite="free")])
    found.train([Config(suite="locked")])
    found.end_sweep()
    found.end_sweep()  # no locked run is left
    assert calls == [(["locked"], True, None), (["free"], False, 2), (["locked"], False, 2), (["locked"], True, None)]
    assert (found.sweep, found.jobs, found.locked) == (None, None, [])


def test_a_process_has_one_session() -> None:
    assert session() is session()
