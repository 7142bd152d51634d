"""One file from an address, whole or not at all."""

from __future__ import annotations

import http.client
import shutil
import socket
import urllib.error
import urllib.parse
import urllib.request
from collections.abc import Callable
from pathlib import Path

from rich.console import Console
from rich.progress import BarColumn, DownloadColumn, Progress, TextColumn, TimeRemainingColumn, TransferSpeedColumn

from envs.errors import DataError
from envs.files import replacing, write_atomic
from envs.readers.digests import Digests, beside, check_known, sent

BLOCK = 1 << 20  # bytes read at once
TIMEOUT = 30  # seconds without a byte


def unreachable(url: str) -> str | None:
    """Why the host of `url` cannot be found, or None; found out at once, where libraries try again and again for half a minute."""
    host = urllib.parse.urlsplit(url).hostname
    if urllib.request.getproxies():
        return None  # a proxy finds it
    try:
        socket.getaddrinfo(host, 443)
    except OSError as error:
        return f"no network: {host}: {error.strerror or error}"
    return None


def fetch(url: str, path: Path, check: Callable[[Path], object]) -> Path:
    """Download `url` to `path`, let `check` look at it, and only then give it its name; a bar shows how far it is.

    Size and digest are compared with what the answer says, and the digest with that of an earlier download, which is kept
    beside it. Raises DataError where the address cannot be reached, the answer is cut off, is another file or `check` refuses it; nothing
    is left behind then.
    """
    try:
        with replacing(path) as scratch:
            sha256 = _download(url, scratch)
            check_known(path, sha256, url)
            check(scratch)
        write_atomic(beside(path), f"{sha256}  {path.name}\n")
    except (urllib.error.URLError, http.client.HTTPException, TimeoutError, ConnectionError) as error:
        raise DataError(f"{url} cannot be downloaded ({getattr(error, 'reason', None) or error})") from error
    except OSError as error:
        raise DataError(f"{url} cannot be downloaded to {path.parent}: {error.strerror or error}") from error
    return path


def _download(url: str, path: Path) -> str:
    """Returns the SHA-256."""
    with urllib.request.urlopen(url, timeout=TIMEOUT) as answer, open(path, "wb") as f:
        length = answer.headers["Content-Length"] or ""
        size = int(length) if length.isdecimal() else None
        if size is not None and size > (free := shutil.disk_usage(path.parent).free):
            raise DataError(f"{url} has {size:,} bytes, {path.parent} has room for {free:,}; free space")
        console = Console(stderr=True)
        columns = (TextColumn("{task.description}"), BarColumn(), DownloadColumn(), TransferSpeedColumn(), TimeRemainingColumn())
        with Progress(*columns, console=console) as progress:
            if not console.is_terminal:
                console.print(f"downloading {url}: {'unknown size' if size is None else f'{size:,} bytes'}")
            bar = progress.add_task(f"downloading {Path(url).name}", total=size)
            digests = Digests()
            while block := answer.read(BLOCK):
                f.write(block)
                digests.add(block)
                progress.update(bar, advance=len(block))
        if size is not None and f.tell() != size:
            raise DataError(f"{url} was cut off after {f.tell():,} of {size:,} bytes; try again")
        for algorithm, said in sent(answer.headers).items():
            if digests.of(algorithm) != said:
                own = digests.of(algorithm)
                raise DataError(f"{url} was damaged on its way: {algorithm} {own[:16]}..., the server says {said[:16]}...; try again")
    return digests.of("sha256")
