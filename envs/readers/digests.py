"""Is a downloaded file the one that was meant? Its digest against what the server says, and against the first download.

The servers of D4RL's files publish no digests and speak plain http, so the first download is believed (after its size, its digest where the
answer carries one, and its content were checked). From then on FILE.sha256, in sha256sum's format, says what FILE has to be.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from envs.errors import DataError

BLOCK = 1 << 20  # bytes read at once


def sent(headers: Mapping[str, str]) -> dict[str, str]:
    """Digests (hexadecimal) by algorithm that an answer's headers carry: RFC 9530, RFC 3230, Content-MD5, Google's and Hugging Face's."""
    found = {}
    text = ",".join(headers.get(name) or "" for name in ("Repr-Digest", "Content-Digest", "Digest", "x-goog-hash"))
    for algorithm, value in re.findall(r"(sha-256|md5)=:?([A-Za-z0-9+/]+={0,2})", text, re.IGNORECASE):
        found[algorithm.lower().replace("-", "")] = _hex(value)
    if headers.get("Content-MD5"):
        found["md5"] = _hex(headers["Content-MD5"])
    if re.fullmatch(r'"?[0-9a-f]{64}"?', headers.get("X-Linked-Etag") or ""):
        found["sha256"] = headers["X-Linked-Etag"].strip('"')
    return found


def _hex(value: str) -> str:
    try:
        return base64.b64decode(value, validate=True).hex()
    except binascii.Error:
        return f"'{value}'"  # equals no digest


class Digests:
    """Digests of a stream. Use `add` for every block."""

    def __init__(self) -> None:
        self.hashes: dict[str, Any] = {"sha256": hashlib.sha256(), "md5": hashlib.md5(usedforsecurity=False)}

    def add(self, block: bytes) -> None:
        for one in self.hashes.values():
            one.update(block)

    def of(self, algorithm: str) -> str:
        return self.hashes[algorithm].hexdigest()


def beside(path: Path) -> Path:
    """Where the digest of `path` is kept."""
    return path.with_name(f"{path.name}.sha256")


def check_known(path: Path, sha256: str, what: str) -> None:
    """Raise DataError, beginning with `what`, if another digest than `sha256` is kept for `path`."""
    known = beside(path)
    if known.is_file() and (before := known.read_text().split(" ")[0].strip()) != sha256:
        raise DataError(
            f"{what} has SHA-256 {sha256[:16]}..., {known} says {before[:16]}...; get the file again, or remove {known.name} if it is right"
        )


def verify(path: Path) -> None:
    """Raise DataError if the file at `path` is not the one that was downloaded. A file that was put there by hand has no digest."""
    if not beside(path).is_file():
        return
    digests = Digests()
    with open(path, "rb") as f:
        while block := f.read(BLOCK):
            digests.add(block)
    check_known(path, digests.of("sha256"), str(path))
