"""manifest.json: size and SHA-256 of every file of a finished run.

It shows damage: a file that changed, shrank or vanished since the run ended. It proves nothing about honesty, because an editor of a file
can write a new manifest. `python -m bench verify` plays the policies again instead.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Mapping
from fnmatch import fnmatchcase
from pathlib import Path
from typing import Any

from envs.errors import DataError
from envs.files import write_json
from envs.untrusted import opened, read_json

NAME = "manifest.json"
COVERED = ("config.yaml", "run.json", "episodes.csv", "curve.csv", "checkpoint.safetensors", "policy.safetensors", "policy-*.safetensors")
"""Files that training writes. Films, logs and later evaluations are not among them."""
LARGEST = 2**20  # bytes of a manifest that is read


def sign(folder: Path, pending: Mapping[str, str] | None = None) -> None:
    """Write the manifest of run directory `folder`. `pending`: content of files that are written next, by name."""
    files = {path.name: _entry(path) for path in covered(folder)}
    for name, text in (pending or {}).items():
        content = text.encode()
        files[name] = {"bytes": len(content), "sha256": hashlib.sha256(content).hexdigest()}
    files = dict(sorted(files.items()))
    write_json(folder / NAME, {"files": files, "sha256": _own_digest(files)})


def covered(folder: Path) -> list[Path]:
    """The files of run directory `folder` that a manifest lists."""
    return sorted(path for pattern in COVERED for path in folder.glob(pattern))


def damage(folder: Path, unread: Iterable[str] = ()) -> list[str]:
    """One line for each file in `folder` that differs from its manifest; empty if all agree.

    Of the files `unread` the size alone is compared. A run without a manifest gives the line that it is missing. Raises OSError for a file
    that cannot be read.
    """
    files = _read(folder / NAME)
    if isinstance(files, str):
        return [files]
    found = []
    for name, entry in files.items():
        path = folder / name
        if path.is_symlink() or not path.is_file():
            found.append(f"{path} is missing; {NAME} lists it")
        elif path.stat().st_size != entry["bytes"] or (name not in unread and _entry(path) != entry):
            found.append(f"{path} is damaged (its content is not what {NAME} recorded at the end of the run)")
    found += [f"{path} is not in {NAME}, which lists every file of the run" for path in covered(folder) if path.name not in files]
    return found


def _read(path: Path) -> dict[str, dict[str, Any]] | str:
    """The manifest's files by name, or a line that says how the manifest is damaged."""
    try:
        content = read_json(path.parent, path.name, LARGEST)
    except FileNotFoundError:
        return f"{path} is missing"
    except (OSError, DataError) as error:
        return f"{path} is damaged ({str(error).removeprefix(f'{path}: ')})"
    try:
        files = content["files"]
        whole = content["sha256"] == _own_digest(files) and all(set(e) == {"bytes", "sha256"} for e in files.values())
        known = all(any(fnmatchcase(name, pattern) for pattern in COVERED) and "/" not in name for name in files)
    except (ValueError, KeyError, TypeError, AttributeError):
        whole = known = False
    return files if whole and known else f"{path} is damaged"


def _entry(path: Path) -> dict[str, Any]:
    with opened(path.parent, path.name) as file, open(file, "rb", closefd=False) as f:
        return {"bytes": path.stat().st_size, "sha256": hashlib.file_digest(f, "sha256").hexdigest()}


def _own_digest(files: Mapping[str, Any]) -> str:
    return hashlib.sha256(json.dumps(files, sort_keys=True).encode()).hexdigest()
