"""Locks between processes. The operating system frees the lock of a process that dies; its file stays and names its last holder.

The locks are flock's. (The package filelock falls back to files that outlive a killed process.) On NFS, Linux makes them locks of the
server, which hold between machines, except with the mount options local_lock=flock and nolock. A file system without locks (Lustre without
-o flock) is refused.
"""

from __future__ import annotations

import errno
import fcntl
import os
import socket
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from bench.errors import RunError
from envs.untrusted import refuse_link

POLL = 0.1  # seconds between two attempts to take a lock
HELD = (errno.EAGAIN, errno.EACCES)
NO_LOCKS = (errno.ENOSYS, errno.EOPNOTSUPP, errno.ENOLCK)


class Lock:
    """The lock of file `path`, not yet taken."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self._file: int | None = None

    def take(self) -> bool:
        """Take the lock; False if another holder has it.

        Raises DataError for a link in the place of the file or of its folder, which would lead the holder's name into another file;
        RunError on a file system without locks, OSError for other failures.
        """
        refuse_link(self.path.parent)
        self.path.parent.mkdir(parents=True, exist_ok=True)
        refuse_link(self.path)
        file = os.open(self.path, os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW | os.O_NONBLOCK, 0o666)
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            holder = f"process {os.getpid()} on {socket.gethostname()}\n".encode()
            os.pwrite(file, holder, 0)
            os.ftruncate(file, len(holder))  # afterwards: a process killed in between leaves no empty file
        except OSError as error:
            os.close(file)
            if error.errno in HELD:
                return False
            if error.errno in NO_LOCKS:
                reason = f"this file system has no locks ({error.strerror})"
                raise RunError(f"{self.path}: {reason}; choose another folder with results_dir=PATH") from error
            error.filename = str(self.path)
            raise
        self._file = file
        return True

    def release(self) -> None:
        if self._file is not None:
            fcntl.flock(self._file, fcntl.LOCK_UN)  # closing alone would leave it to forks of this process
            os.close(self._file)
            self._file = None

    def holder(self) -> str:
        """The process that holds the lock: "process 123 on host"."""
        try:
            return self.path.read_text().strip() or "another process"
        except OSError:
            return "another process"

    def wait(self, on_poll: Callable[[], None] = lambda: None) -> None:
        """Take the lock when it becomes free. `on_poll` is called before every new attempt; it may raise."""
        while not self.take():
            on_poll()
            time.sleep(POLL)

    @contextmanager
    def held(self, on_wait: Callable[[str], None] = lambda holder: None, on_poll: Callable[[], None] = lambda: None) -> Iterator[None]:
        """Hold the lock for a block. If it is not free, call `on_wait` with its holder and wait."""
        if not self.take():
            on_wait(self.holder())
            self.wait(on_poll)
        try:
            yield
        finally:
            self.release()
