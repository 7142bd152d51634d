"""A check of the code that a data set's metadata would run.

metadata.json names the environment by import paths and arguments (Gymnasium's env_spec: entry_point, kwargs, wrappers). Making the
environment imports and calls them, so a data set of unknown origin could run any code. Only the packages TRUSTED may be named, and those
in IWSFT_TRUSTED_PACKAGES (comma-separated).
"""

from __future__ import annotations

import json
import os
import re
from collections.abc import Iterator
from typing import Any

from envs.errors import DataError

TRUSTED = ("gymnasium.envs", "gymnasium.wrappers", "gymnasium_robotics", "envs.evaluation.d4rl_ant", "envs.evaluation.fork")
ENTRY = re.compile(r"([\w.]+):([A-Z]\w*)")  # a class: functions of these packages can import other packages


def check_specs(dataset: str, metadata: dict[str, Any]) -> None:
    """Check both environments that metadata.json names, as `check_spec` does."""
    for key in ("env_spec", "eval_env_spec"):
        if metadata.get(key) is not None:
            check_spec(f"{dataset}: data/metadata.json, {key}", metadata[key])


def check_spec(where: str, spec: Any) -> None:
    """Raise DataError, beginning with `where`, unless environment `spec` (JSON) imports from trusted packages only."""
    if spec == "":
        raise DataError(f"{where}: the data set names none to play policies in; add env=ID (of Gymnasium), or env=none to train without")
    try:
        found = list(entry_points(json.loads(spec)))
    except (TypeError, ValueError, AttributeError) as error:
        raise DataError(f"{where}: not an environment's specification ({error}); download the data set again") from error
    for entry in found:
        match = ENTRY.fullmatch(entry) if isinstance(entry, str) else None
        if match is None or not _trusted(match[1]):
            package = re.split(r"[.:]", entry)[0] if isinstance(entry, str) else ""
            raise DataError(
                f"{where}: would run '{entry}' of a package that is not trusted; if you trust the data set, set "
                f"IWSFT_TRUSTED_PACKAGES={package or 'NAME'}"
            )


def entry_points(spec: dict[str, Any]) -> Iterator[Any]:
    """Every import path in `spec`."""
    for key in ("entry_point", "vector_entry_point"):
        if spec.get(key) is not None:
            yield spec[key]
    for wrapper in spec.get("additional_wrappers") or ():
        yield wrapper["entry_point"] if isinstance(wrapper, dict) and "entry_point" in wrapper else wrapper


def check_module(where: str, module: str) -> None:
    """Raise DataError, beginning with `where`, unless `module` belongs to a trusted package."""
    if not _trusted(module):
        raise DataError(f"{where}: would import '{module}', which is not trusted; if you trust it, set IWSFT_TRUSTED_PACKAGES={module}")


def own_packages() -> tuple[str, ...]:
    """The packages that the user trusts: IWSFT_TRUSTED_PACKAGES."""
    return tuple(name.strip() for name in os.environ.get("IWSFT_TRUSTED_PACKAGES", "").split(",") if name.strip())


def _trusted(module: str) -> bool:
    return any(module == name or module.startswith(f"{name}.") for name in TRUSTED + own_packages())
