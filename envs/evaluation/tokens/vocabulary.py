"""The tokens of all token tasks: one character each."""

from __future__ import annotations

from collections.abc import Iterable

PAD, END = 0, 1
CHARACTERS = "_$0123456789+-*=;,:UDLR#.SG"  # by token; PAD and END first
CONTEXT = 64  # tokens of a prompt and its answer, END included
_NUMBERS = {character: token for token, character in enumerate(CHARACTERS)}


def encode(text: str) -> list[int]:
    """The tokens of `text`."""
    return [_NUMBERS[character] for character in text]


def decode(tokens: Iterable[int]) -> str:
    """The text of `tokens`, with every character."""
    return "".join(CHARACTERS[token] for token in tokens)
