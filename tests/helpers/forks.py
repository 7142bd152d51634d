"""Commands in forks of a process that has imported what they need: `python -m bench` without the seconds of an interpreter's start.

A command has a folder, environment, standard streams, exit code and end of process of its own. What the modules read when they are
imported, such as OMP_NUM_THREADS, they read once for all commands: tests of that start an interpreter.
"""

from __future__ import annotations

import atexit
import json
import os
import runpy
import select
import signal
import subprocess
import sys
import tempfile
from collections.abc import Mapping, Sequence
from functools import cache
from importlib import import_module
from pathlib import Path

from tests.helpers.paths import ROOT

IMPORTED = ("bench.config.mistakes", "bench.launch.train", "bench.results.leaderboard", "minari", "pandas")
"""Modules imported beforehand: not mujoco, which takes its renderer from the environment."""


def run(
    arguments: Sequence[str],
    folder: Path,
    environment: Mapping[str, str] | None = None,
    timeout: float = 300,
    hidden: tuple[str, ...] = (),
) -> subprocess.CompletedProcess[str]:
    """Run `python -m bench ARGUMENTS` in `folder`.

    environment: of the command, by default that of this process. timeout: seconds. hidden: modules that cannot be imported, as if they
    were not installed. Raises subprocess.TimeoutExpired.
    """
    with tempfile.TemporaryDirectory() as streams:
        out, err = Path(streams, "out"), Path(streams, "err")
        env = {**(os.environ if environment is None else environment), "PYTHONPATH": str(ROOT), "WANDB_MODE": "offline"}
        asked = {"arguments": arguments, "folder": str(folder), "environment": env, "streams": streams}
        code = _server(hidden).ask(asked, timeout)
        return subprocess.CompletedProcess(["bench", *arguments], code, out.read_text(), err.read_text())


class _Server:
    """The process that forks."""

    def __init__(self, hidden: Sequence[str]) -> None:
        command = [sys.executable, "-m", "tests.helpers.forks", *hidden]
        pipe = subprocess.PIPE
        self.process = subprocess.Popen(command, cwd=ROOT, stdin=pipe, stdout=pipe, text=True, start_new_session=True)
        atexit.register(self._end)

    def _end(self) -> None:
        with self.process:
            self.process.kill()

    def ask(self, command: dict, timeout: float) -> int:
        """The exit code of `command`, minus the signal's number if one ended it."""
        assert self.process.stdin is not None
        assert self.process.stdout is not None
        print(json.dumps(command), file=self.process.stdin, flush=True)
        if not select.select([self.process.stdout], [], [], timeout)[0]:
            os.killpg(self.process.pid, signal.SIGKILL)
            _server.cache_clear()
            raise subprocess.TimeoutExpired(command["arguments"], timeout)
        return int(self.process.stdout.readline())


@cache
def _server(hidden: tuple[str, ...]) -> _Server:
    return _Server(hidden)


def _serve() -> dict:
    """Fork for every command that is asked for; returns in the fork, with the command."""
    for line in sys.stdin:
        if not (pid := os.fork()):
            return json.loads(line)
        print(os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]), flush=True)
    sys.exit()


def _become(command: dict) -> None:
    """Take the folder, environment and streams of `command`."""
    streams = Path(command["streams"])
    for number, name in enumerate((os.devnull, streams / "out", streams / "err")):
        with open(name, "rb" if number == 0 else "wb") as file:
            os.dup2(file.fileno(), number)
    sys.stdin = os.fdopen(0)
    os.environ.clear()
    os.environ.update(command["environment"])
    os.chdir(command["folder"])
    sys.argv[1:] = command["arguments"]


if __name__ == "__main__":
    sys.modules.update(dict.fromkeys(sys.argv[1:]))  # type: ignore[arg-type]
    for name in IMPORTED:
        import_module(name)
    _become(_serve())
    runpy.run_module("bench", run_name="__main__", alter_sys=True)
