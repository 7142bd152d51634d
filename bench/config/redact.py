"""No secret in what is written: settings, records, error and log lines pass through here.

What counts as one: the value of an environment variable whose name says so (WANDB_API_KEY, HF_TOKEN, *_SECRET, *PASSWORD, *_KEY...), a
password in ~/.netrc, what stands behind such a name (`HF_TOKEN=...`, `api_key: ...`), a password or a long user name within an address,
and the shapes of well-known tokens. Values are found as they are, quoted and escaped for YAML, JSON and addresses, and broken over lines.
"""

from __future__ import annotations

import json
import netrc
import os
import re
import urllib.parse
from functools import cache
from pathlib import Path
from typing import Any

SHOWN = "<redacted>"
SHORTEST = 8  # characters: a shorter value would also be found where it is none
NAMES = r"(?:api[_-]?key|access[_-]?key|private[_-]?key|token|secret|passwd|password|credential|signature)s?"
NAME = re.compile(rf"(?:^|_){NAMES}(?:$|_)|\b{NAMES}\b", re.IGNORECASE)
PATHS = re.compile(r"_(?:file|path|dir)$", re.IGNORECASE)  # HF_TOKEN_PATH says where, not what
VARIABLE = re.compile(r"(?:^|_)(?:key|pat|pass|pwd|passphrase|auth|cookie)s?$", re.IGNORECASE)  # elsewhere, a key may be any
BEFORE = rf"\b((?:[\w.-]*[._-])?{NAMES}[\"']?\s*[:=]\s*"
QUOTED = re.compile(rf"(?i){BEFORE}([\"']))([^\n]{{{SHORTEST},}}?)(\2)")
ASSIGNED = re.compile(rf"(?i){BEFORE}[\"']?)([^\s\"',}}]{{{SHORTEST},}})")
HEADER = re.compile(rf"(?i)\b(authorization[\"']?\s*[:=]\s*[\"']?(?:\w+\s+)?)([^\s\"',]{{{SHORTEST},}})")
IN_ADDRESS = re.compile(r"(\w+://[^\s/:@]*:)[^\s/@]+(@)")
AS_USER = re.compile(r"(\w+://)[^\s/:@]{16,}(@)")  # a token may be all that stands there
SHAPES = re.compile(r"\b(?:hf_[A-Za-z0-9]{20,}|wandb_v1_\w{20,}|gh[pousr]_[A-Za-z0-9]{20,}|sk-[\w-]{20,}|AKIA[0-9A-Z]{16})\b")


def known() -> list[str]:
    """The secrets of this process' surroundings, longest first: one may contain another."""
    found = {v for k, v in os.environ.items() if (_secret(k, v) or VARIABLE.search(k)) and not v.startswith(("/", "~"))} | set(_netrc())
    return sorted((v for v in found if len(v) >= SHORTEST), key=len, reverse=True)


def _netrc() -> list[str]:
    try:
        entries = netrc.netrc(os.environ.get("NETRC") or Path.home() / ".netrc").hosts.values()
    except (OSError, netrc.NetrcParseError, UnicodeDecodeError, RuntimeError):
        return []
    return [password for _, _, password in entries if password]


@cache
def _written(secret: str) -> re.Pattern[str]:
    """`secret` as it may stand in a file; where it has spaces, lines may break."""
    forms = {secret, secret.replace("'", "''"), urllib.parse.quote(secret, safe=""), urllib.parse.quote_plus(secret)}
    forms |= {json.dumps(secret, ensure_ascii=plain)[1:-1] for plain in (True, False)}
    return re.compile("|".join(r"[\s\\]+".join(map(re.escape, form.split())) for form in sorted(forms, key=len, reverse=True)))


def redact(text: str) -> str:
    """`text` with every secret as <redacted>."""
    for secret in known():
        text = _written(secret).sub(SHOWN, text)
    text = ASSIGNED.sub(rf"\1{SHOWN}", QUOTED.sub(rf"\1{SHOWN}\4", text))
    text = HEADER.sub(rf"\1{SHOWN}", SHAPES.sub(SHOWN, IN_ADDRESS.sub(rf"\1{SHOWN}\2", text)))
    return AS_USER.sub(rf"\1{SHOWN}\2", text)


def redact_tree(value: Any) -> Any:
    """`redact` for every string in plain data."""
    if isinstance(value, dict):
        return {redact_tree(key): SHOWN if _secret(key, item) else redact_tree(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [redact_tree(item) for item in value]
    return redact(value) if isinstance(value, str) else value


def _secret(key: Any, value: Any) -> bool:
    return isinstance(key, str) and isinstance(value, str) and len(value) >= SHORTEST and bool(NAME.search(key)) and not PATHS.search(key)
