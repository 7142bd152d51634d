"""No secret in what is written: settings, records, error and log lines pass through here.

What counts as one: the value of an environment variable whose name says so (WANDB_API_KEY, HF_TOKEN, *_SECRET, *PASSWORD...), a
password in ~/.netrc, what stands behind such a name (`HF_TOKEN=...`, `api_key: ...`), a password within an address, and the shapes of
well-known tokens.
"""

from __future__ import annotations

import netrc
import os
import re
from pathlib import Path
from typing import Any

SHOWN = "<redacted>"
SHORTEST = 8  # characters: a shorter value would also be found where it is none
NAMES = r"(?:api_?key|access_?key|private_?key|token|secret|passwd|password|credential)s?"
NAME = re.compile(rf"(?:^|_){NAMES}(?:$|_)|\b{NAMES}\b", re.IGNORECASE)
PATHS = re.compile(r"_(?:file|path|dir)$", re.IGNORECASE)  # HF_TOKEN_PATH says where, not what
ASSIGNED = re.compile(rf"(?i)\b((?:[\w.]*[._])?{NAMES}[\"']?\s*[:=]\s*[\"']?)([^\s\"',}}]{{{SHORTEST},}})")
IN_ADDRESS = re.compile(r"(\w+://[^\s/:@]*:)[^\s/@]+(@)")
SHAPES = re.compile(r"\b(?:hf_[A-Za-z0-9]{20,}|wandb_v1_\w{20,}|gh[pousr]_[A-Za-z0-9]{20,}|sk-[\w-]{20,}|AKIA[0-9A-Z]{16})\b")


def known() -> list[str]:
    """The secrets of this process' surroundings, longest first: one may contain another."""
    found = {v for k, v in os.environ.items() if _secret(k, v) and not v.startswith(("/", "~"))} | set(_netrc())
    return sorted((v for v in found if len(v) >= SHORTEST), key=len, reverse=True)


def _netrc() -> list[str]:
    try:
        entries = netrc.netrc(os.environ.get("NETRC") or Path.home() / ".netrc").hosts.values()
    except (OSError, netrc.NetrcParseError, UnicodeDecodeError, RuntimeError):
        return []
    return [password for _, _, password in entries if password]


def redact(text: str) -> str:
    """`text` with every secret as <redacted>."""
    for secret in known():
        text = text.replace(secret, SHOWN)
    text = ASSIGNED.sub(rf"\1{SHOWN}", text)
    return SHAPES.sub(SHOWN, IN_ADDRESS.sub(rf"\1{SHOWN}\2", text))


def redact_tree(value: Any) -> Any:
    """`redact` for every string in plain data."""
    if isinstance(value, dict):
        return {key: SHOWN if _secret(key, item) else redact_tree(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [redact_tree(item) for item in value]
    return redact(value) if isinstance(value, str) else value


def _secret(key: Any, value: Any) -> bool:
    return isinstance(key, str) and isinstance(value, str) and len(value) >= SHORTEST and bool(NAME.search(key)) and not PATHS.search(key)
