"""Data sets by id or expression: obtained if absent, read, and kept in the cache.

A Minari episode has T + 1 observations and T of everything else; row t of observations belongs to action t of the same episode.
"""

from __future__ import annotations

from contextlib import ExitStack
from dataclasses import replace
from typing import Any

from envs.data.actions import ActionUnits
from envs.data.builder import Allocate, in_memory
from envs.data.cache import Cache, Scratch, key_of
from envs.data.env_choice import OWN, EnvChoice
from envs.data.logged_data import LoggedData
from envs.data.minari_root import datasets_root
from envs.data.references import Reference
from envs.data.selection import Part, parse
from envs.data.trajectories import Trajectories
from envs.readers.join import join, open_dataset
from envs.readers.obtain import obtain


def load(dataset: str, cache: bool = True, choice: EnvChoice = OWN, download: bool = True) -> LoggedData:
    """Read `dataset`, an id or an expression of `envs.data.selection`; record, convert or download it first if it is absent.

    choice: the environment that policies are played in, whose action bounds scale the actions. download: get the data set if it is absent;
    else it is refused.

    A second call opens a memory-mapped copy (`envs.data.cache`) unless `cache` is false. Raises DataError for an unknown id, damaged
    files, an environment that does not fit, spaces without a flat form, numbers that are not finite, arrays that do not fit together.
    """
    parts = parse(dataset)
    for part in parts:
        obtain(part, download)
    root = datasets_root()
    if not cache:
        return _read(dataset, parts, in_memory, choice)
    store, key = Cache(root), key_of(choice.label(dataset), [root / part.dataset for part in parts])
    if (kept := store.find(key)) is not None:
        return _from_index(dataset, *kept)
    scratch = store.scratch()
    if scratch is None:
        return _read(dataset, parts, in_memory, choice)
    with scratch:
        return _read_and_keep(dataset, parts, scratch, key, choice)


def _read(dataset: str, parts: list[Part], allocate: Allocate, choice: EnvChoice) -> LoggedData:
    """Read the selected episodes of all parts."""
    with ExitStack() as stack:
        opened = []
        for part in parts:
            found = open_dataset(part.dataset, datasets_root() / part.dataset, stack, choice)
            if part.rules:
                found = replace(found, episodes=part.select(*found.files.returns()))
            opened.append(found)
        return join(dataset, opened, allocate, choice)


def _read_and_keep(dataset: str, parts: list[Part], scratch: Scratch, key: str, choice: EnvChoice) -> LoggedData:
    """Read into the cache; into memory if the disk has no space."""
    try:
        data = _read(dataset, parts, scratch.allocate, choice)
        scratch.keep(key, data.trajectories, _to_index(data))
    except OSError:
        return _read(dataset, parts, in_memory, choice)
    kept = scratch.cache.find(key)
    return data if kept is None else _from_index(dataset, *kept)


def _to_index(data: LoggedData) -> dict[str, Any]:
    """All of `data` but its trajectories, for the cache's index."""
    reference = None if data.reference is None else vars(data.reference)
    facts = {"env_spec": data.env_spec, "own_env": data.own_env, "reference": reference, "clipped": data.clipped, "note": data.note}
    return data.units.to_json() | facts | {"horizon": data.horizon, "unscored": data.unscored, "other_rewards": data.other_rewards}


def _from_index(dataset: str, trajectories: Trajectories, index: dict[str, Any]) -> LoggedData:
    reference = None if index["reference"] is None else Reference(**index["reference"])
    facts = (
        index["env_spec"],
        reference,
        index["clipped"],
        index["note"],
        index["own_env"],
        index["horizon"],
        index["unscored"],
        index["other_rewards"],
    )
    return LoggedData(dataset, trajectories, ActionUnits.from_json(index), *facts)
