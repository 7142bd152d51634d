"""Mutations of files, for fuzzing of readers: bytes that change, and values that are replaced by hostile ones."""

from __future__ import annotations

import re
from typing import Any

from hypothesis import strategies as st

HOSTILE = (
    b"NaN", b"-Infinity", b"1e999", b"-1", b"0", b"1.5", b"99999999999999999999", b"9" * 5000, b"1e308", b"-0.0", b"null", b"true", b'""',
    b"[]", b"{}", b"[" * 5000, b'{"a":' * 2000, b'"' + b"x" * 5000 + b'"', b'"\\ud800"', b'"\\x24{oc.env:HOME}"', b"${oc.env:HOME}",
    b"&a [*a]", b"!!python/name:os.system", b"\x00", b"\xff\xfe", b"=1+1", b"../../x", b'"<script>alert(1)</script>"', b'"$\\\\frac{$"',
    b'"a\\nb|c"', b"\n", b",", b"---\n",
)  # fmt: skip
VALUE = re.compile(rb'"(?:[^"\\]|\\.){0,200}"|[\w.+-]+')
KINDS = ("flip", "insert", "delete", "repeat", "value", "value", "value")

Edit = tuple[str, int, int, bytes]

edits: Any = st.lists(
    st.tuples(st.sampled_from(KINDS), st.integers(0, 2**32), st.integers(1, 64), st.sampled_from(HOSTILE)), min_size=1, max_size=3
)
"""One to three edits: kind, position, length, hostile value."""


def mutated(content: bytes, found: list[Edit]) -> bytes:
    """`content` after the edits `found`."""
    for kind, position, length, hostile in found:
        at = position % (len(content) + 1)
        if kind == "flip" and at < len(content):
            content = content[:at] + bytes([content[at] ^ (1 << length % 8)]) + content[at + 1 :]
        elif kind == "insert":
            content = content[:at] + hostile + content[at:]
        elif kind == "delete":
            content = content[:at] + content[at + length :]
        elif kind == "repeat":
            content = content[: at + length] + content[at:]
        elif values := list(VALUE.finditer(content)):
            value = values[position % len(values)]
            content = content[: value.start()] + hostile + content[value.end() :]
    return content
