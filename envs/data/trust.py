"""A check of the code that a data set's metadata would run.

metadata.json names the environment by import paths and arguments (Gymnasium's env_spec: entry_point, kwargs, wrappers). Making the
environment imports and calls them, so a data set of unknown origin could run any code. Only the packages TRUSTED may be named, and those
in IWSFT_TRUSTED_PACKAGES (comma-separated). Wrappers that write files are refused even then.
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterator
from typing import Any

from envs.errors import DataError, first_line
from envs.untrusted import clean, parse_json

TRUSTED = (
    "gymnasium.envs",
    "gymnasium.wrappers",
    "gymnasium_robotics",
    "envs.evaluation.d4rl_ant",
    "envs.evaluation.fork",
    "envs.evaluation.tokens",
)
LONGEST = 200  # characters of an environment's id
HARMLESS = (
    "AtariPreprocessing", "Autoreset", "ClipAction", "ClipReward", "DelayObservation", "DiscretizeAction", "DiscretizeObservation",
    "DtypeObservation", "FilterObservation", "FlattenObservation", "FrameStackObservation", "GrayscaleObservation", "MaxAndSkipObservation",
    "NormalizeObservation", "NormalizeReward", "OrderEnforcing", "PassiveEnvChecker", "RecordEpisodeStatistics", "RepeatAction",
    "RescaleAction", "RescaleObservation", "ReshapeObservation", "ResizeObservation", "StickyAction", "TimeAwareObservation", "TimeLimit",
    "TransformAction", "TransformObservation", "TransformReward",
)  # fmt: skip
"""Gymnasium's wrappers that touch no file and no screen."""
WRITERS = ("RecordVideo", "HumanRendering", "Monitor")  # of any package
WRITTEN = re.compile(r"folder|directory|_dir$|^dir$|path|file", re.IGNORECASE)  # arguments of wrappers that name files
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
        content = parse_json(spec)
        found = list(entry_points(content))
        _check_arguments(where, content)
    except (TypeError, ValueError, AttributeError) as error:
        raise DataError(f"{where}: not an environment's specification ({first_line(error)}); download the data set again") from error
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


def _check_arguments(where: str, spec: dict[str, Any]) -> None:
    """Raise DataError for wrappers that write files or open windows, and for arguments that name a file outside a package.

    Raises ValueError, TypeError or AttributeError for what is no specification.
    """
    if not isinstance(spec.get("id"), str) or len(spec["id"]) > LONGEST:
        raise ValueError("it has no id")
    for wrapper in spec.get("additional_wrappers") or ():
        module, _, name = str(wrapper["entry_point"] if isinstance(wrapper, dict) else wrapper).partition(":")
        arguments = wrapper.get("kwargs") or {} if isinstance(wrapper, dict) else {}
        writes = name.startswith(WRITERS) or any(WRITTEN.search(str(key)) for key in arguments)
        known = _of(module, "gymnasium.wrappers") and name in HARMLESS
        if writes or (not known and any(_of(module, trusted) for trusted in TRUSTED)):
            raise DataError(
                f"{where}: wrapper {clean(name, 60) or clean(module, 60)} may write files or open a window, and is never run; "
                "write the data set again without it"
            )
    module = str(spec.get("entry_point")).partition(":")[0]
    if _of(module, "gymnasium.wrappers"):
        raise DataError(f"{where}: '{clean(str(spec['entry_point']), 60)}' is a wrapper; expected an environment")
    if not any(_of(module, name) for name in own_packages()) and (path := _outside(spec.get("kwargs"))) is not None:
        raise DataError(f"{where}: an argument names the file '{clean(path, 60)}', which lies outside the environment's package")


def _outside(value: Any) -> str | None:
    """A text in plain data that names a file outside a package: an absolute path, one from home, or one that goes up; None without any."""
    if isinstance(value, dict | list):
        items = value.values() if isinstance(value, dict) else value
        return next((found for item in items if (found := _outside(item)) is not None), None)
    return value if isinstance(value, str) and (value.startswith(("/", "~", "\\")) or ".." in value) else None


def check_module(where: str, module: str) -> None:
    """Raise DataError, beginning with `where`, unless `module` belongs to a trusted package."""
    if not _trusted(module):
        raise DataError(f"{where}: would import '{module}', which is not trusted; if you trust it, set IWSFT_TRUSTED_PACKAGES={module}")


def own_packages() -> tuple[str, ...]:
    """The packages that the user trusts: IWSFT_TRUSTED_PACKAGES."""
    return tuple(name.strip() for name in os.environ.get("IWSFT_TRUSTED_PACKAGES", "").split(",") if name.strip())


def _trusted(module: str) -> bool:
    return any(_of(module, name) for name in TRUSTED + own_packages())


def _of(module: str, package: str) -> bool:
    """True if `module` is `package` or in it."""
    return module == package or module.startswith(f"{package}.")
