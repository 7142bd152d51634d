"""Locks: one process holds a lock at a time, and a dead process holds none."""

from __future__ import annotations

import errno
import multiprocessing
import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from bench.errors import DataError, RunError
from bench.storage import locks
from bench.storage.locks import Lock

HOLD = """import sys, time
from pathlib import Path
from bench.storage.locks import Lock
lock = Lock(Path(sys.argv[1]))
assert lock.take()
print("has it", flush=True)
time.sleep(60)
"""


def holder(path: Path) -> subprocess.Popen:
    """Start a process that holds the lock."""
    process = subprocess.Popen([sys.executable, "-c", HOLD, str(path)], stdout=subprocess.PIPE, text=True)
    assert process.stdout is not None
    assert process.stdout.readline() == "has it\n"
    return process


def test_a_dead_process_holds_no_lock(tmp_path: Path) -> None:
    path = tmp_path / "results" / ".locks" / "run.lock"
    process = holder(path)
    lock, polls = Lock(path), []
    assert not lock.take()
    assert lock.holder() == f"process {process.pid} on {locks.socket.gethostname()}"

    def kill_it() -> None:
        polls.append("polled")
        os.kill(process.pid, signal.SIGKILL)

    lock.wait(kill_it)
    process.wait()
    assert process.stdout is not None
    process.stdout.close()
    assert polls == ["polled"]
    lock.release()
    assert lock.take()
    lock.release()


def test_a_fork_of_the_holder_does_not_keep_a_released_lock(tmp_path: Path) -> None:
    lock, other = Lock(tmp_path / "run.lock"), Lock(tmp_path / "run.lock")
    assert lock.take()
    assert not other.take()
    child = os.fork()
    if child == 0:
        signal.pause()
    lock.release()
    assert other.take()
    os.kill(child, signal.SIGKILL)
    os.waitpid(child, 0)
    other.release()


def _count(folder: Path, times: int) -> None:
    for _ in range(times):
        with Lock(folder / ".locks" / "counter.lock").held():
            value = int((folder / "counter").read_text())
            (folder / "counter").write_text(str(value + 1))


def test_two_processes_never_hold_a_lock_at_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Processes read a counter, add one and write it: every overlap would lose a count."""
    monkeypatch.setattr(locks, "POLL", 0.0005)
    (tmp_path / "counter").write_text("0")
    context = multiprocessing.get_context("fork")
    processes = [context.Process(target=_count, args=(tmp_path, 40)) for _ in range(3)]
    for process in processes:
        process.start()
    for process in processes:
        process.join(60)
        assert process.exitcode == 0
    assert (tmp_path / "counter").read_text() == "120"


def test_a_file_system_without_locks_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuses(*_: object) -> None:
        raise OSError(errno.ENOSYS, os.strerror(errno.ENOSYS))

    import fcntl

    monkeypatch.setattr(fcntl, "flock", refuses)
    with pytest.raises(RunError, match=r"run\.lock: this file system has no locks .*; choose another folder with results_dir=PATH"):
        Lock(tmp_path / "run.lock").take()


def test_a_file_in_place_of_the_lock_folder_is_an_error(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(locks, "POLL", 0.001)
    (tmp_path / ".locks").write_text("no folder")
    with pytest.raises(OSError, match=r"\.locks"):
        Lock(tmp_path / ".locks" / "run.lock").take()


@pytest.mark.parametrize("name", [".locks", ".locks/run.lock"])
def test_a_link_in_place_of_a_lock_leads_into_no_other_file(name: str, tmp_path: Path) -> None:
    """The holder's name would replace the content of the file that the link shows."""
    (tmp_path / "own").mkdir()
    (tmp_path / "own" / "run.lock").write_text("a file of yours")
    path = tmp_path / "suite" / name
    path.parent.mkdir(parents=True)
    path.symlink_to(tmp_path / "own" / ("" if name == ".locks" else "run.lock"))
    with pytest.raises(DataError, match=r"\.locks(/run\.lock)?: is a link; expected a file or folder in its place; remove it"):
        Lock(tmp_path / "suite" / ".locks" / "run.lock").take()
    assert (tmp_path / "own" / "run.lock").read_text() == "a file of yours"
