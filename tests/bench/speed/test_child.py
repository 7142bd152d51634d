"""A measured process: its stopwatch and its memory."""

from __future__ import annotations

import subprocess
import sys

import pytest

from bench.speed.child import Stopwatch
from bench.speed.workload import Work
from tests.helpers.paths import ROOT


def test_rare_long_updates_count_by_their_frequency(monkeypatch: pytest.MonkeyPatch) -> None:
    """Every tenth update takes 11 s, the others 1 s: the rate is one update in 2 s for any beginning and end of the measured time."""
    clock = [0.0]
    monkeypatch.setattr("bench.speed.child.time.perf_counter", lambda: clock[0])

    def train(start: int, stop: int) -> None:
        clock[0] += sum(11.0 if t % 10 == 0 else 1.0 for t in range(start, stop))

    watch = Stopwatch(Work(train, 1, 10), "cpu")
    for seconds in (1.0, 14.0, 60.0):
        assert watch.rate(seconds) == pytest.approx(0.5)
    assert Stopwatch(Work(lambda a, b: clock.__setitem__(0, clock[0] + 0.25 * (b - a)), 2), "cpu").rate(3.0) == pytest.approx(4.0)


def test_updates_before_the_first_measured_one_end_at_a_cycle() -> None:
    """The stopwatch first trains to the beginning of a cycle, once."""
    calls: list[tuple[int, int]] = []
    watch = Stopwatch(Work(lambda a, b: calls.append((a, b)), cycle=2), "cpu", after=5)
    assert calls == [(0, 6)]
    watch.rate(0.0)
    assert calls[1:] == [(6, 8)]


def memory_of(code: str) -> float:
    """MiB by which `code` raises the peak memory of a fresh process."""
    prelude = "import os, sys, numpy as np; from bench.speed.child import memory_mib; before = memory_mib('cpu')"
    script = "\n".join([prelude, code, "print(memory_mib('cpu') - before)", "ended()" if "def ended" in code else ""])
    done = subprocess.run([sys.executable, "-c", script], cwd=ROOT, capture_output=True, text=True, check=True, timeout=120)
    return float(done.stdout)


@pytest.mark.skipif(sys.platform != "linux", reason="reads /proc")
def test_memory_is_the_peak_of_the_process_and_of_its_forks_own_pages() -> None:
    """200 MiB count once they have been used, freed or not. A fork adds the 100 MiB that it writes, not the pages that it shares."""
    used = "kept = np.ones(200 << 17); del kept"
    assert memory_of(used) == pytest.approx(200, abs=30)
    fork = """
kept = np.ones(200 << 17)
ready, done = os.pipe(), os.pipe()
if os.fork() == 0:
    own = np.ones(100 << 17)
    os.write(ready[1], b"x")
    os.read(done[0], 1)
    os._exit(0)
os.read(ready[0], 1)
def ended():
    os.write(done[1], b"x")
"""
    assert memory_of(fork) == pytest.approx(300, abs=40)
