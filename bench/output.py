"""Standard output and error of a command whose reader may end before it, such as `head`."""

from __future__ import annotations

import errno
import io
import sys
from typing import Any

GONE = (errno.EPIPE, errno.EIO)  # the reader of a pipe ended; a terminal was closed


class _Lasting(io.FileIO):
    """A file whose writes are dropped once its reader has ended."""

    def write(self, content: Any) -> int:
        try:
            return super().write(content)
        except OSError as error:
            if error.errno not in GONE:
                raise
            return memoryview(content).nbytes


def outlive_readers() -> None:
    """Let the command go on, with its output dropped, when the reader of its standard output or error ends."""
    sys.stdout, sys.stderr = (_lasting(stream) for stream in (sys.stdout, sys.stderr))


def _lasting(stream: Any) -> Any:
    """`stream` on the same file descriptor; itself if it has none."""
    try:
        number = stream.fileno()
    except (AttributeError, OSError):
        return stream
    stream.flush()
    raw = io.BufferedWriter(_Lasting(number, "w", closefd=False))
    return io.TextIOWrapper(raw, stream.encoding, stream.errors, line_buffering=stream.line_buffering, write_through=stream.write_through)
