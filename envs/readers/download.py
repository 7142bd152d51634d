"""Download one file, whole or absent, and compare it with the digests of the server and of the first download.

Own code, because libraries such as pooch need a digest in advance and D4RL's servers publish none: the first download is believed, after
its size, the digest in the answer's headers (if any) and its content are checked. FILE.sha256, in sha256sum's format, then fixes the
content of FILE.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import http.client
import re
import shutil
import socket
import urllib.error
import urllib.parse
import urllib.request
from collections.abc import Callable, Mapping
from pathlib import Path

from rich.console import Console
from rich.progress import BarColumn, DownloadColumn, Progress, TextColumn, TimeRemainingColumn, TransferSpeedColumn

from envs.errors import DataError
from envs.files import replacing, write_atomic

BLOCK = 1 << 20  # bytes read at once
TIMEOUT = 30  # seconds without a byte


def unreachable(url: str) -> str | None:
    """The reason why the host of `url` has no address, or None. Libraries retry for half a minute before they report it."""
    host = urllib.parse.urlsplit(url).hostname
    if urllib.request.getproxies():
        return None  # the proxy resolves the name
    try:
        socket.getaddrinfo(host, 443)
    except OSError as error:
        return f"no network: {host}: {error.strerror or error}"
    return None


def fetch(url: str, path: Path, check: Callable[[Path], object]) -> Path:
    """Download `url` to `path` with a progress bar, after `check` of the downloaded file, and keep its digest beside it.

    Raises DataError, and leaves no file, if the address cannot be reached, size or digest differ, or `check` raises it.
    """
    try:
        with replacing(path) as scratch:
            _download(url, scratch)
            sha256 = digest_of(scratch)
            _compare(path, sha256, url)
            check(scratch)
        write_atomic(digest_file(path), f"{sha256}  {path.name}\n")
    except (urllib.error.URLError, http.client.HTTPException, TimeoutError, ConnectionError) as error:
        raise DataError(f"{url} cannot be downloaded ({getattr(error, 'reason', None) or error})") from error
    except OSError as error:
        raise DataError(f"{url} cannot be downloaded to {path.parent}: {error.strerror or error}") from error
    return path


def verify(path: Path) -> None:
    """Raise DataError if the file at `path` is not the downloaded one. A file without a digest beside it passes."""
    if digest_file(path).is_file():
        _compare(path, digest_of(path), str(path))


def digest_file(path: Path) -> Path:
    """The file with the digest of `path`."""
    return path.with_name(f"{path.name}.sha256")


def _compare(path: Path, sha256: str, what: str) -> None:
    """Raise DataError, beginning with `what`, if another digest than `sha256` is kept for `path`."""
    kept = digest_file(path)
    if kept.is_file() and (before := kept.read_text().split(" ")[0].strip()) != sha256:
        raise DataError(
            f"{what} has SHA-256 {sha256[:16]}..., {kept} says {before[:16]}...; get the file again, or remove {kept.name} if it is right"
        )


def digest_of(path: Path, algorithm: str = "sha256") -> str:
    """Digest (hexadecimal) of the file at `path`. Raises OSError."""
    with open(path, "rb") as f:
        return hashlib.file_digest(f, lambda: hashlib.new(algorithm, usedforsecurity=algorithm != "md5")).hexdigest()


def _download(url: str, path: Path) -> None:
    """Download `url` to `path`. Raises DataError if size or digest differ from the answer's headers."""
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
            while block := answer.read(BLOCK):
                f.write(block)
                progress.update(bar, advance=len(block))
        if size is not None and f.tell() != size:
            raise DataError(f"{url} was cut off after {f.tell():,} of {size:,} bytes; try again")
        digests = _sent_digests(answer.headers)
    for algorithm, sent in digests.items():
        if (found := digest_of(path, algorithm)) != sent:
            raise DataError(f"{url} was damaged on its way: {algorithm} {found[:16]}..., the server says {sent[:16]}...; try again")


def _sent_digests(headers: Mapping[str, str]) -> dict[str, str]:
    """Digests (hexadecimal) by algorithm in an answer's headers: RFC 9530, RFC 3230, Content-MD5, Google's and Hugging Face's."""
    found = {}
    text = ",".join(headers.get(name) or "" for name in ("Repr-Digest", "Content-Digest", "Digest", "x-goog-hash"))
    for algorithm, value in re.findall(r"(sha-256|md5)=:?([A-Za-z0-9+/]+={0,2})", text, re.IGNORECASE):
        found[algorithm.lower().replace("-", "")] = _hexadecimal(value)
    if headers.get("Content-MD5"):
        found["md5"] = _hexadecimal(headers["Content-MD5"])
    if re.fullmatch(r'"?[0-9a-f]{64}"?', headers.get("X-Linked-Etag") or ""):
        found["sha256"] = headers["X-Linked-Etag"].strip('"')
    return found


def _hexadecimal(value: str) -> str:
    """Base64 `value` in hexadecimal; a malformed value gives a text that equals no digest."""
    try:
        return base64.b64decode(value, validate=True).hex()
    except binascii.Error:
        return f"'{value}'"
