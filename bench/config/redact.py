"""Redact secrets in everything that is written: settings, records, error and log lines.

A secret is the value of an environment variable named KEY, *_KEY, *TOKEN, *SECRET or *PASSWORD, and a value that is assigned to such a name
(`SERVICE_PASSWORD=...` on the command line, `hf_token: ...` in a file). Values shorter than SHORTEST characters are left as they are.
"""

from __future__ import annotations

import json
import os
import re
from typing import Any

SHOWN = "<redacted>"
SHORTEST = 8
NAME = r"(?:[\w.-]*(?:token|secret|password)|[\w.-]*[_-]key)"
SECRET_NAME = re.compile(rf"{NAME}|key", re.IGNORECASE)
ASSIGNED = re.compile(rf"(?i)\b({NAME}[\"']?\s*[:=]\s*)(?:\"[^\"\n]{{{SHORTEST},}}\"|'[^'\n]{{{SHORTEST},}}'|[^\s\"',}}]{{{SHORTEST},}})")


def redact(text: str) -> str:
    """`text` with SHOWN in the place of every secret."""
    for secret in sorted({v for k, v in os.environ.items() if _is_secret(k, v)}, key=len, reverse=True):  # one may contain another
        for written in {secret, json.dumps(secret)[1:-1]}:
            text = text.replace(written, SHOWN)
    return ASSIGNED.sub(rf"\1{SHOWN}", text)


def redact_tree(value: Any) -> Any:
    """Apply `redact` to every string in plain data."""
    if isinstance(value, dict):
        return {redact_tree(key): SHOWN if _is_secret(key, item) else redact_tree(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [redact_tree(item) for item in value]
    return redact(value) if isinstance(value, str) else value


def _is_secret(name: Any, value: Any) -> bool:
    return isinstance(name, str) and isinstance(value, str) and len(value) >= SHORTEST and bool(SECRET_NAME.fullmatch(name))
