"""Translation of OmegaConf's messages about a wrong value, which name its own classes, into what the user should have given."""

from __future__ import annotations

import re

WORDS = (
    (r"could not be converted to Integer|is not a subclass of int\b", "a whole number"),
    (r"could not be converted to Float|is not a subclass of float\b", "a number"),
    (r"is not a valid bool", "true or false"),
    (r"is not a ListConfig|Cannot merge DictConfig with ListConfig", "a list, such as '{key}=[{value}]'"),
    (r"Cannot convert '\w+' to string|is not a subclass of str\b", "one text"),
    (r"is not Optional", "a value other than null"),
    (r"Invalid value '.*', expected one of \[(?P<choices>.*)\]", "one of {choices}"),
)
"""Parts of OmegaConf's messages, and what they stand for."""


def expected(message: str, given: str) -> str:
    """The line for `given`, KEY=VALUE, of which OmegaConf says `message`: what was expected, or the message's first sentence."""
    key, _, value = given.partition("=")
    for pattern, words in WORDS:
        if match := re.search(pattern, message):
            return f"{given}: expected {words.format(key=key, value=value.strip('[]{}') or '...', **match.groupdict())}"
    reason = next((line for line in message.splitlines() if line.startswith(("Value ", "Cannot ", "Invalid "))), "wrong type")
    return f"{given}: {reason}"
