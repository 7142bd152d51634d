"""Redact secrets in everything that is written: settings, records, error and log lines.

A secret is

* the value of an environment variable named KEY, *_KEY, *TOKEN, *SECRET or *PASSWORD, and a value that is assigned to such a name
  (`SERVICE_PASSWORD=...` on the command line, `hf_token: ...` in a file), from SHORTEST characters on; a password of any length,
* the password, or a long user name, of a URL (`postgres://bob:pw@host`), and a key, token or signature in its query,
* text of the shape of a known service's token (SHAPES), wherever it stands,
* a long hexadecimal number as the project or entity of a logger, where a key was put in the place of a name.
"""

from __future__ import annotations

import json
import os
import re
from typing import Any

SHOWN = "<redacted>"
SHORTEST = 8
NAME = r"(?:[\w.-]*(?:token|secret|password|passwd|passphrase|apikey)|[\w.-]*[_-]key)"
SECRET_NAME = re.compile(rf"{NAME}|key", re.IGNORECASE)
ASSIGNED = re.compile(rf"(?i)\b({NAME}[\"']?\s*[:=]\s*)(?:\"[^\"\n]{{{SHORTEST},}}\"|'[^'\n]{{{SHORTEST},}}'|[^\s\"',}}]{{{SHORTEST},}})")
PASSWORD = re.compile(r"(?i)\b([\w.-]*(?:password|passwd|passphrase)=)(?!<redacted>)(?:\"[^\"\n]+\"|'[^'\n]+'|[^\s\"',}&]+)")
URL_PASSWORD = re.compile(r"(:/{1,2}[^\s/:@'\"]*:)(?!\d{1,5}/)[^\s'\"]+(?=@)")  # of a path, too, which has one slash
URL_USER = re.compile(rf"(:/{{1,2}})[^\s/:@'\"]{{{SHORTEST},}}(?=@)")
URL_QUERY = re.compile(r"(?i)([?&;][\w.-]*(?:token|secret|passw(?:or)?d|pwd|key|sig|signature|auth|authorization|credential)=)[^&;#\s'\"]+")
SHAPES = re.compile(
    r"-----BEGIN [A-Z ]*PRIVATE KEY-----.*?(?:-----END [A-Z ]*PRIVATE KEY-----|\Z)"
    r"|\b(?:hf_[A-Za-z0-9]{20,}|gh[oprsu]_[A-Za-z0-9]{20,}|github_pat_\w{20,}|glpat-[\w-]{16,}|xox[abeprs]-[\w-]{10,}|npm_[A-Za-z0-9]{20,}"
    r"|(?:AKIA|ASIA)[0-9A-Z]{16}|AIza[\w-]{30,}|ya29\.[\w.-]{20,}|pypi-[\w-]{20,}|wandb_v\d_\w{20,}|local-[0-9a-f]{40}"
    r"|sk-(?=[\w-]*\d)[\w-]{20,}|eyJ[\w-]{10,}\.[\w-]{10,}\.[\w-]*)",
    re.DOTALL,
)
"""Tokens of Hugging Face, GitHub, GitLab, Slack, npm, AWS, Google, PyPI, wandb, OpenAI and Anthropic; JSON web tokens, private keys."""
HEADER = re.compile(rf"(?i)\b((?:bearer|basic) )[\w.+/=~-]{{{SHORTEST},}}")
KEY_AS_NAME = re.compile(r"(?i)\b((?:entity|project)[\"']?\s*[:=]\s*[\"']?)[0-9a-f]{32,}")


def redact(text: str) -> str:
    """`text` with SHOWN in the place of every secret."""
    for secret in sorted({v for k, v in os.environ.items() if _is_secret(k, v)}, key=len, reverse=True):  # one may contain another
        for written in {secret, json.dumps(secret)[1:-1]}:
            text = text.replace(written, SHOWN)
    for pattern in (ASSIGNED, PASSWORD, URL_PASSWORD, URL_USER, URL_QUERY, HEADER, KEY_AS_NAME):
        text = pattern.sub(rf"\1{SHOWN}", text)
    return SHAPES.sub(SHOWN, text)


def redact_tree(value: Any) -> Any:
    """Apply `redact` to every string in plain data."""
    if isinstance(value, dict):
        return {redact_tree(key): SHOWN if _is_secret(key, item) else redact_tree(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [redact_tree(item) for item in value]
    return redact(value) if isinstance(value, str) else value


def is_key(text: str) -> bool:
    """True for text that looks like a service's key, not like a name."""
    return bool(re.fullmatch(r"(?i)[0-9a-f]{32,}", text) or SHAPES.fullmatch(text))


def _is_secret(name: Any, value: Any) -> bool:
    if not isinstance(name, str) or not isinstance(value, str):
        return False
    return (bool(SECRET_NAME.fullmatch(name)) and len(value) >= SHORTEST) or (name in ("entity", "project") and is_key(value))
