"""One process at a time: locks that the operating system takes back from a process that dies, however it dies.

They are flock's, through filelock. On NFS, Linux turns them into locks of the server, which hold between machines; with the mount option
local_lock=flock (or nolock) they hold within one machine only. A file system without them (Lustre mounted without -o flock) is refused.

A lock is a file that names its holder and that goes away with the lock; whoever waits for a file that went away takes a new one.
"""

from __future__ import annotations

import contextlib
import errno
import os
import socket
import time
from collections.abc import Callable, Iterator
from pathlib import Path

from filelock import FileLock

from bench.errors import RunError

POLL = 0.1  # seconds between two looks at a lock that another process holds


class Lock:
    """The lock at `path`, not yet taken."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self._lock = FileLock(path, blocking=False, fallback_to_soft=False, thread_local=False, on_acquired=_sign)
        self._made: list[Path] = []  # folders that were not there before

    def take(self) -> bool:
        """Take the lock; False if another process has it. Raises RunError where the file system has no locks, OSError."""
        gone: OSError | None = None
        for _ in range(100):  # each time, somebody removed the folder as its last lock went
            missing = [p for p in self.path.parents if not p.exists()]
            try:
                self.path.parent.mkdir(parents=True, exist_ok=True)
                self._made = missing or self._made
                self._lock.acquire()
                return True
            except TimeoutError:
                if self.path.exists():
                    return False  # else it was given back at this moment
            except (FileExistsError, FileNotFoundError, NotADirectoryError) as error:  # a folder that goes meanwhile
                gone = error
                time.sleep(POLL / 100)
            except (OSError, NotImplementedError) as error:
                if getattr(error, "errno", None) == errno.ESTALE:  # NFS: the file went away between two calls
                    continue
                if isinstance(error, NotImplementedError) or error.errno in (errno.ENOSYS, errno.EOPNOTSUPP, errno.ENOLCK):
                    raise RunError(
                        f"{self.path}: this file system has no locks ({error}); choose another folder with results_dir=PATH"
                    ) from error
                error.filename = str(self.path)
                raise
        if gone is not None:  # nobody removes a folder that often: what is there is none
            gone.filename = str(self.path)
            raise gone
        return False

    def give_back(self) -> None:
        """Remove the file, let go of the lock, and remove its folder, and those made for it, where they are empty."""
        if self._lock.is_locked:
            self.path.unlink(missing_ok=True)  # first: whoever gets this file's lock afterwards sees that it has no name any more
            self._lock.release()
            with contextlib.suppress(OSError):
                for folder in self._made or [self.path.parent]:
                    folder.rmdir()

    def holder(self) -> str:
        """Who has it, for a person."""
        try:
            return self.path.read_text().strip() or "another process"
        except OSError:
            return "another process"

    def wait(self, on_poll: Callable[[], None] = lambda: None) -> None:
        """Take the lock as soon as it is free. `on_poll` is called at every look, and may raise."""
        while not self.take():
            on_poll()
            time.sleep(POLL)

    @contextlib.contextmanager
    def held(self, on_wait: Callable[[str], None] = lambda holder: None, on_poll: Callable[[], None] = lambda: None) -> Iterator[None]:
        """With the lock, however long it takes to get it; `on_wait` is told who has it."""
        if not self.take():
            on_wait(self.holder())
            self.wait(on_poll)
        try:
            yield
        finally:
            self.give_back()


def _sign(handle: int) -> None:
    os.ftruncate(handle, 0)
    os.pwrite(handle, f"process {os.getpid()} on {socket.gethostname()}\n".encode(), 0)
