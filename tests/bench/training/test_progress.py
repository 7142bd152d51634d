"""Progress on a terminal: a line per evaluation, one clock over all stages, notes once."""

from __future__ import annotations

import pytest
from rich.console import Console

from bench.config.schema import Config
from bench.training import progress
from bench.training.progress import Reporter
from bench.training.run import train_run
from bench.training.shared import Shared


@pytest.fixture(autouse=True)
def terminal(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TTY_COMPATIBLE", "1")
    monkeypatch.setenv("COLUMNS", "200")
    assert Console(stderr=True).is_terminal


def test_the_clock_counts_over_all_stages(monkeypatch: pytest.MonkeyPatch) -> None:
    """The clock neither stops when a stage is complete nor begins again with the next one, also if both have the same number of updates."""
    now = 1000.0
    monkeypatch.setattr(progress.time, "monotonic", lambda: now)
    clock = progress.Clock()
    with Reporter("job") as reporter:
        task = reporter.bar.tasks[0]
        for stage, expected in (("training pi_ref", "0:00:07"), ("training", "0:00:14")):
            reporter.stage(stage, 20)
            assert (task.completed, task.finished) == (0, False)
            reporter.update(20, "complete")
            now += 7
            assert clock.render(task).plain == expected


@pytest.mark.usefixtures("fresh_data")
def test_a_terminal_shows_every_evaluation(config: Config, shared: Shared, capfd: pytest.CaptureFixture[str]) -> None:
    train_run(config, shared)
    said = capfd.readouterr().err
    for update in (15, 30, 40):
        assert f": update {update}/40, return " in said


def test_a_note_is_printed_once(capfd: pytest.CaptureFixture[str]) -> None:
    noted: set[str] = set()
    for _ in range(2):
        with Reporter("job", noted) as reporter:
            reporter.note("0.30% of action entries were clipped")
    assert capfd.readouterr().err.count("were clipped") == 1
