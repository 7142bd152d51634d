"""Worker processes and the signals that their whole job receives."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

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
