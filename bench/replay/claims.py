"""Entries of run.json beside those computed here from the configuration, the data and the policies."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import numpy as np

from bench.config.domains import tuned_settings
from bench.config.schema import Config
from bench.storage.layout import Row
from bench.storage.record import shorten
from bench.training.record import data_facts
from bench.training.run_progress import kept_of
from envs.data.logged_data import LoggedData
from envs.untrusted import clean_tree

STATED = ("wall time", "device", "versions", "code revision", "curve.csv")
"""Statements of a run that no other file shows."""
ERRORS = 4.0  # standard errors of a measured reference that another machine may differ by


def data_entries(config: Config, data: LoggedData, pi_ref_data: LoggedData | None) -> Row:
    """The entries that the data set of the run determines."""
    strata, tuned = kept_of(config, data), tuned_settings(config)
    return data_facts(config, data) | {
        "curation": None if strata is None else strata._asdict(), "strata_coincide": strata is not None and strata.coincide,
        "domain_settings": None if tuned is None else tuned.record(),
        "pi_ref_digest": None if pi_ref_data is None else pi_ref_data.trajectories.digest,
    }  # fmt: skip


def differing(record: Row, computed: Row, elsewhere: bool = False) -> Iterator[str]:
    """One line for each entry of `computed` that `record` has and states otherwise. `elsewhere`: a machine that rounds differently."""
    for key, value in computed.items():
        plain = clean_tree(json.loads(json.dumps(value, default=str)))
        if key not in record or _same(record[key], plain):
            continue
        if key == "reference" and elsewhere and _same_measured(record[key], plain):
            continue
        if key == "environment" and _same(_parsed(record[key]), _parsed(value)):
            continue
        yield f"run.json: {key} is {_spell(record[key])}; computed here: {_spell(plain)}"


def _spell(value: Any) -> str:
    if isinstance(value, dict) and {"name", "random", "expert"} <= set(value):
        return f"{value['name']} (random {value['random']:.6g}, expert {value['expert']:.6g})"
    return shorten(value)


def _same(one: Any, other: Any) -> bool:
    """True if plain data agree, numbers to seven digits."""
    if isinstance(one, dict) and isinstance(other, dict):
        return set(one) == set(other) and all(_same(one[k], other[k]) for k in one)
    if isinstance(one, list) and isinstance(other, list):
        return len(one) == len(other) and all(map(_same, one, other))
    if isinstance(one, float) or isinstance(other, float):
        numbers = all(isinstance(v, int | float) and not isinstance(v, bool) for v in (one, other))
        return numbers and bool(np.isclose(one, other, rtol=1e-7, atol=0, equal_nan=True))
    return type(one) is type(other) and one == other


def _same_measured(one: Any, other: Any) -> bool:
    """True if two measured references agree within the error of the random policy's return."""
    if not (isinstance(one, dict) and isinstance(other, dict) and one["name"] == other["name"] == "measured"):
        return False
    near = abs(one["random"] - other["random"]) <= ERRORS * other.get("random_error", 0.0)
    return near and _same(one["expert"], other["expert"])


def _parsed(environment: Any) -> Any:
    """The environment's entry with its specification as data."""
    try:
        return environment | {"spec": json.loads(environment["spec"] or "null")}
    except (ValueError, KeyError, TypeError):
        return environment
