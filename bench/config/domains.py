"""Settings that the authors of a method chose for each domain, from one table: conf/domains.yaml.

conf/algo refers to the table as `${domain:METHOD.KEY,DEFAULT}`; a value on the command line replaces the reference.
"""

from __future__ import annotations

from fnmatch import fnmatch
from functools import cache
from importlib.resources import files
from typing import Any

from omegaconf import DictConfig, OmegaConf

from bench.errors import RunError


@cache
def _table() -> dict[str, list[dict[str, Any]]]:
    """Rows by method: `data` (patterns of data set ids), `source`, and values by key."""
    return OmegaConf.to_container(OmegaConf.create(files("conf").joinpath("domains.yaml").read_text()))  # type: ignore[return-value]


def domain_value(name: str, default: Any, *, _root_: DictConfig) -> Any:
    """The value of `name` (METHOD.KEY) for the data set of the configuration: from the last matching row with the key, else `default`."""
    method, _, key = name.partition(".")
    if method not in _table():
        raise RunError(f"conf/domains.yaml has no method '{method}'; it has {', '.join(_table())}")
    rows = [row for row in _table()[method] if key in row and any(fnmatch(_root_.dataset, f"*{p}*") for p in row["data"])]
    return rows[-1][key] if rows else default
