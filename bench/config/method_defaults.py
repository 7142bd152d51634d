"""The default number of updates of each method, from conf/algo alone: tables need it, and neither torch nor Hydra."""

from __future__ import annotations

import re
from functools import cache
from importlib.resources import files
from importlib.resources.abc import Traversable
from typing import Any

import yaml

from bench.config.limits import PI_REF_UPDATES

NAME = re.compile(r"[a-z]\w{0,60}")
OF_PI_REF = "${pi_ref.updates}"  # of behaviour cloning, which is trained as pi_ref is


@cache
def updates_by_default(algo: str) -> int | None:
    """The updates of `algo=NAME` without a suite; None for a name that conf/algo does not have, or that states none."""
    found = _settings(algo).get("updates")
    if found == OF_PI_REF:
        return PI_REF_UPDATES
    return found if isinstance(found, int) else None


def is_method(algo: str) -> bool:
    """True if conf/algo has the settings of `algo`."""
    return bool(NAME.fullmatch(algo)) and _file(algo).is_file()


def _file(algo: str) -> Traversable:
    return files("conf").joinpath("algo", f"{algo}.yaml")


def _settings(algo: str) -> dict[str, Any]:
    """The settings of conf/algo/NAME.yaml, those of the methods that it starts from included."""
    if not is_method(algo):
        return {}
    own = yaml.safe_load(_file(algo).read_text())
    inherited = [name for name in own.pop("defaults", []) if isinstance(name, str) and name != "_self_"]
    return {key: value for name in inherited for key, value in _settings(name).items()} | own
