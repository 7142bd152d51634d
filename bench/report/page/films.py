"""Films of runs, embedded in the page up to a limit; larger ones are named."""

from __future__ import annotations

import base64
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

from bench.storage.layout import films
from envs.untrusted import read_bytes


class Limits(NamedTuple):
    """Bytes of one embedded film, and characters of all of them together."""

    film: int = 8_000_000
    page: int = 40_000_000


LIMITS = Limits()


class EmbeddedFilm(NamedTuple):
    """A film on the page. source: a data URL; empty if the page only names the film."""

    name: str
    source: str


def embedded_films(folders: Sequence[Path], limits: Limits = LIMITS) -> list[list[EmbeddedFilm]]:
    """The films of each run directory."""
    total = 0
    found = []
    for folder in folders:
        own = []
        for path in films(folder):
            source = ""
            if path.stat().st_size <= limits.film:
                source = f"data:image/webp;base64,{base64.b64encode(read_bytes(path.parent, path.name, limits.film)).decode()}"
            total += len(source)
            own.append(EmbeddedFilm(path.name, source if total <= limits.page else ""))
        found.append(own)
    return found
