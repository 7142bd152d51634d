"""Worker processes and the signals that their whole job receives."""

from __future__ import annotations

import multiprocessing
import subprocess
import sys
from importlib.machinery import ModuleSpec
from pathlib import Path

import pytest

from envs.processes import may_spawn
from tests.helpers.paths import ROOT

SCRIPT = """
import multiprocessing, os, signal
from envs.processes import SIGNALS, signals_blocked

def work(pipe):
    pipe.send("started")
    pipe.send(pipe.recv())

if __name__ == "__main__":
    context = multiprocessing.get_context("spawn")
    ours, theirs = context.Pipe()
    with signals_blocked():
        for _ in range(2):  # of which the first starts multiprocessing's resource tracker
            process = context.Process(target=work, args=(theirs,), daemon=True)
            process.start()
    for _ in range(2):
        ours.recv()
    assert not signal.pthread_sigmask(signal.SIG_BLOCK, ())
    for number in SIGNALS:
        signal.signal(number, signal.SIG_IGN)
        os.killpg(0, number)
    for _ in range(2):
        ours.send("alive")
        assert ours.poll(10) and ours.recv() == "alive", "a signal ended it"
"""


def test_signals_to_the_group_do_not_end_workers(tmp_path: Path) -> None:
    """The workers have the signals blocked before their first own instruction; the main process has not."""
    (tmp_path / "main.py").write_text(SCRIPT)
    command = [sys.executable, tmp_path / "main.py"]
    done = subprocess.run(
        command, cwd=tmp_path, env={"PYTHONPATH": str(ROOT)}, capture_output=True, text=True, timeout=60, start_new_session=True
    )
    assert done.returncode == 0, done.stderr


@pytest.mark.parametrize(("place", "allowed"), [("module", True), ("script", False), ("worker", False)])
def test_scripts_and_workers_spawn_nothing(place: str, allowed: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    """A new process of a script without a guard of its main part would run it again; a daemonic process may have no children."""
    spec = None if place == "script" else ModuleSpec("bench.__main__", None)
    monkeypatch.setattr(sys.modules["__main__"], "__spec__", spec, raising=False)
    monkeypatch.setitem(multiprocessing.current_process()._config, "daemon", place == "worker")  # type: ignore[attr-defined]
    assert may_spawn() is allowed
