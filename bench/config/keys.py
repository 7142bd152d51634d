"""The keys of the configuration by dotted name, those of a method included, and near names of a key that there is not."""

from __future__ import annotations

import difflib
from collections.abc import Iterable, Iterator, Mapping
from functools import cache
from typing import Any

from omegaconf import OmegaConf

from bench.config.choices import schemas
from bench.config.schema import Config


@cache
def common_keys() -> dict[str, Any]:
    """Every key outside `algo`, with its default; a group's value is a mapping."""
    return {key: value for key, value in _walk(_plain(Config), "") if key != "algo"}


@cache
def method_keys(algo: str) -> dict[str, Any]:
    """Every key of `algo=NAME`, with its default; a group's value is a mapping."""
    return dict(_walk(_plain(schemas()[algo]), "algo."))


def all_keys() -> list[str]:
    """Every key of the configuration and of all methods."""
    return sorted({*common_keys(), *(key for name in schemas() for key in method_keys(name))})


def takes_a_list(key: str) -> bool:
    """True if the value of `key` is a list."""
    values = (known.get(key) for known in (common_keys(), *map(method_keys, schemas())))
    return key.startswith("population.") or any(isinstance(value, list) for value in values)


def unknown_key(key: str, algos: Iterable[str] = ()) -> str:
    """One line for `key`, which the configuration of a run of `algos` does not have: near names, those of the methods first."""
    own = [k for name in algos if name in schemas() for k in method_keys(name)]
    others = [] if key.startswith("algo.") else common_keys()
    if key in all_keys():
        having = ", ".join(name for name in schemas() if key in method_keys(name))
        what = f"{key}: not a key of {' or '.join(algos) or 'this method'} ({having} have it)"
        return f"{what}; python -m bench algo=NAME --help lists a method's keys"
    return f"unknown key '{key}'{near_names(key, [*own, *others], all_keys())}; python -m bench --help lists all"


def near(name: str, options: Iterable[str], cutoff: float = 0.5) -> list[str]:
    """Up to three of `options` that `name` may stand for: those that end in it or have its initials, then those that are spelled alike."""
    options = list(options)
    last = name.rpartition(".")[2]
    ends = {o: o.rpartition(".")[2] for o in options}
    same = [o for o, end in ends.items() if last in (end, "".join(word[:1] for word in end.split("_")))]  # lr: learning_rate
    close = difflib.get_close_matches(last, list(dict.fromkeys(ends.values())), 3, max(cutoff, 0.7))
    alike = [o for end in close for o in options if ends[o] == end]
    return (same or alike or difflib.get_close_matches(name, options, 3, cutoff))[:3]


def near_names(key: str, *options: Iterable[str]) -> str:
    """The end of a line: names near `key` among the first of `options` that have some; empty without one."""
    found = next((names for names in (near(key, known) for known in options) if names), [])
    return f"; near names: {', '.join(found)}" if found else ""


def _plain(schema: type[Any]) -> dict[str, Any]:
    return OmegaConf.to_container(OmegaConf.structured(schema))  # type: ignore[return-value]


def _walk(tree: Mapping[str, Any], prefix: str) -> Iterator[tuple[str, Any]]:
    for name, value in tree.items():
        yield prefix + name, value
        if isinstance(value, Mapping):
            yield from _walk(value, f"{prefix}{name}.")
