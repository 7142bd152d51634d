"""Signals to a command: the exit code is 75 (130 after Ctrl-C) in every phase, and no library can swallow the exit."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from tests.helpers.paths import ROOT
from tests.helpers.suites import make_suite

START = "import os, signal, sys, time, weakref\nfrom bench import cli, exits\nexits.exit_on_signals()\nexits.GRACE = 0.3\n"
IN_A_FINALIZER = """
class Object: ...
thing = Object()
reference = weakref.ref(thing, lambda _: signal.raise_signal({number}))
del thing
"""
IN_A_LIBRARY = """
try:
    signal.raise_signal({number})
except BaseException:
    pass
"""
IN_AN_IMPORT = """
with exits.importing():
    signal.raise_signal({number})
"""


def run_script(body: str, *arguments: str) -> tuple[int, str]:
    """Exit code and standard error of a command whose work is `body`, which then takes a minute."""
    work = "".join(f"    {line}\n" for line in f"{body}\nwhile time.monotonic() < begun + 60: pass".splitlines())
    code = f"{START}begun = time.monotonic()\ndef work(_):\n{work}cli.dispatch = work\nsys.exit(cli.run([]))\n"
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, timeout=30)
    return done.returncode, done.stderr


@pytest.mark.parametrize("body", [IN_A_FINALIZER, IN_A_LIBRARY, IN_AN_IMPORT], ids=["finalizer", "library", "import"])
@pytest.mark.parametrize(("number", "code", "line"), [("signal.SIGTERM", 75, "SIGTERM: stopped"), ("signal.SIGINT", 130, "interrupted")])
def test_an_exit_is_not_swallowed(body: str, number: str, code: int, line: str) -> None:
    found, said = run_script(body.format(number=number))
    assert found == code
    assert said.startswith(line)
    assert said.count("\n") == 1


def test_an_error_caused_by_a_signal_is_not_shown() -> None:
    """A half-imported library fails in its own way."""
    code, said = run_script("try: signal.raise_signal(signal.SIGTERM)\nexcept BaseException: raise RecursionError from None")
    assert (code, said) == (75, "SIGTERM: stopped; run the same command again (exit code 75)\n")


def test_an_ignored_signal_stays_ignored() -> None:
    """As nohup ignores SIGHUP."""
    code = "import signal; signal.signal(signal.SIGHUP, signal.SIG_IGN); from bench.exits import exit_on_signals; exit_on_signals(); "
    code += "signal.raise_signal(signal.SIGHUP)"
    subprocess.run([sys.executable, "-c", code], cwd=ROOT, check=True)


@pytest.mark.parametrize(("delay", "number", "code"), [(0.15, signal.SIGTERM, 75), (0.4, signal.SIGINT, 130), (0.9, signal.SIGHUP, 75)])
def test_a_signal_while_tables_are_written(tmp_path: Path, delay: float, number: signal.Signals, code: int) -> None:
    """A signal to the process group during the start, imports or the writing of tables."""
    suite = make_suite(tmp_path / "suite")
    command = [sys.executable, "-m", "bench", "tables", str(suite)]
    environment = os.environ | {"PYTHONPATH": str(ROOT)}
    process = subprocess.Popen(command, cwd=tmp_path, env=environment, stderr=subprocess.PIPE, text=True, start_new_session=True)
    time.sleep(delay)
    os.killpg(process.pid, number)
    said = process.communicate(timeout=30)[1]
    assert process.returncode == code, said
    assert said.count("\n") <= 1, said


def test_a_command_outlives_the_reader_of_its_output(tmp_path: Path) -> None:
    """`bench ... | head -n 1`: no traceback, exit code 0, and every file is written."""
    suite = make_suite(tmp_path / "suite", ["bc"], ["hopper"])
    bench, reader = f"{sys.executable} -m bench", "2>&1 | true"
    script = f"set -o pipefail; {bench} tables {suite} {reader} && {bench} --help 2>&1 | head -n 1; {bench} nothing {reader}"
    environment = os.environ | {"PYTHONPATH": str(ROOT)}
    done = subprocess.run(["bash", "-c", script], cwd=tmp_path, env=environment, capture_output=True, text=True, timeout=100)
    assert (done.returncode, done.stderr) == (2, "")
    assert done.stdout == "Train, evaluate and compare methods of offline reinforcement learning and imitation learning.\n"
    assert (suite / "table.md").exists()
