"""The command in a process of its own."""

from __future__ import annotations

import subprocess
from pathlib import Path

from tests.helpers import forks

ID = "test/pendulum/random-v0"
TINY = [
    "algo.hidden=[8]", "algo.updates=20", "algo.warmup=0", "pi_ref.updates=20",
    "eval.every=10", "eval.episodes=2", "eval.final_episodes=3", "eval.workers=1", f"dataset={ID}", "device=cpu",
]  # fmt: skip


def bench(folder: Path, *arguments: str, code: int | None = 0) -> subprocess.CompletedProcess:
    """Run `python -m bench` in `folder`."""
    done = forks.run(arguments, folder)
    assert code is None or done.returncode == code, done.stderr
    return done


def mistake(folder: Path, *arguments: str) -> str:
    """Run a command with a mistake and return its error line. Assert no other line (apart from a sweep's first) and no new file."""
    before = {p for p in folder.rglob("*") if "minari" not in p.parts}
    done = bench(folder, *arguments, code=2)
    assert done.stdout == ""
    lines = [line for line in done.stderr.splitlines() if line and not line.endswith("runs before the first one starts")]
    assert len(lines) == 1, done.stderr
    assert lines[0].startswith("error: ")
    assert {p for p in folder.rglob("*") if "minari" not in p.parts} == before
    return lines[0]
