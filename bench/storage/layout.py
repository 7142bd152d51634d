"""Names and columns of the files of a run directory, and the digest that names them. It needs no torch, so that tables are read at once."""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Sequence
from enum import Enum
from pathlib import Path
from typing import Any

from bench.errors import DataError
from envs.untrusted import opened

EPISODE_COLUMNS = ("update", "seed", "episode", "return", "length")
SUCCESS = "success"
"""A further column of episodes.csv where the environment reports success: 1 for an episode with a success at any step, else 0."""

FILM = re.compile(r"episode-\d{1,19}-\d{1,7}\.webp")
FILM_BYTES = 256 << 20

SAMPLED = "sampled"
"""A further column of episodes.csv unless eval.actions is mean: 1 for an episode with sampled actions, 0 for one with mean actions."""

ONLINE_RETURN = "online_return"
"""A column of curve.csv in an online phase: the mean return of the episodes that a member has collected itself, exploration included; NaN
before the first has ended."""

Row = dict[str, Any]


def digest_of(content: Any) -> str:
    """A short, stable hash of plain data."""

    def plain(value: Any) -> Any:
        return value.name if isinstance(value, Enum) else str(value)

    return hashlib.sha256(json.dumps(content, sort_keys=True, default=plain).encode()).hexdigest()[:12]


def folder_prefix(dataset: str, algo: str) -> str:
    """The name of a run directory without the run's hash."""
    data = re.sub(r"[^\w.+-]+", "-", dataset)[:150]
    return f"{data}-{algo}-"


def film_path(folder: Path, seed: int, episode: int) -> Path:
    """The film of final episode `episode` of `seed` in run directory `folder`."""
    return folder / f"episode-{seed}-{episode}.webp"


def films(folder: Path) -> list[Path]:
    """All films in run directory `folder`: regular files; links, folders and pipes of such a name are left out."""
    return sorted(p for p in folder.glob("episode-*-*.webp") if FILM.fullmatch(p.name) and _is_film(p))


def _is_film(path: Path) -> bool:
    try:
        with opened(path.parent, path.name, FILM_BYTES):
            return True
    except (OSError, DataError):
        return False


def episode_columns(rows: Sequence[Row]) -> tuple[str, ...]:
    """The columns of episodes.csv: EPISODE_COLUMNS, and those of SUCCESS and SAMPLED that a row has."""
    return (*EPISODE_COLUMNS, *(name for name in (SUCCESS, SAMPLED) if any(name in row for row in rows)))


def curve_columns(rows: Sequence[Row]) -> tuple[str, ...]:
    """The columns of curve.csv: those with a value in a row. The metrics of an online phase begin with it."""
    return tuple(dict.fromkeys(name for row in rows for name, value in row.items() if value != ""))


def kept_policy(folder: Path, update: int) -> Path:
    """The policies of the evaluation after `update` updates in run directory `folder`, if they were kept."""
    return folder / f"policy-{update}.safetensors"


def kept_policies(folder: Path) -> dict[int, Path]:
    """The kept policies of run directory `folder` by update; files with other names, and links, are left out."""
    found = {re.fullmatch(r"policy-([1-9]\d{0,17})\.safetensors", p.name): p for p in folder.glob("policy-*.safetensors")}
    return {int(match[1]): path for match, path in found.items() if match and path.is_file() and not path.is_symlink()}
