"""Names of methods in tables: with the settings that differ, where several configurations of a method meet on a data set."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from bench.config.tree import flat
from bench.results.episodes import reference_name
from bench.results.pooling import PLACE, method_key
from bench.storage.layout import Row

ORDER = ("bc", "filtered_bc", "sft", "sft_q", "iw_sft", "iw_sft_q")  # other methods follow in alphabetical order


def in_order(methods: Sequence[str]) -> list[str]:
    """Each of `methods` once, in the order of tables: `ORDER`, then the alphabet, settings by their numbers."""

    def rank(method: str) -> tuple[int, list[tuple[str, float]]]:
        algo = method.split()[0]
        words = re.findall(r"([^\d=]*=?)(\d+(?:\.\d+)?(?:e[+-]?\d+)?)?", method)
        return ORDER.index(algo) if algo in ORDER else len(ORDER), [(word, float(number or 0)) for word, number in words]

    return sorted(set(methods), key=rank)


def method_names(records: Sequence[Row]) -> list[str]:
    """The name of each run's method: `iw_sft`, or `iw_sft temperature=3.0` where several configurations of it meet on a data set.

    The name holds at most three settings of the method, those that differ between the configurations, then at most three other keys, such
    as `precision`. Configurations that it cannot tell apart get the first characters of their hash as well, as many as it takes. Runs that
    differ in seeds alone have one name. Settings that differ only between data sets (`settings_by_dataset`) are no part of the name.
    """
    settings = _settings(records)
    differing = _differing(records, settings, lambda r: (r["algo"], r["dataset"]))
    names = [
        _named(record["algo"], {k: v for k, v in own.items() if (record["algo"], k) in differing})
        for record, own in zip(records, settings, strict=True)
    ]
    keys = [method_key(r) for r in records]
    for group in _conflicts(records, names, keys):
        others = [_other_settings(records[i]) for i in group]
        distinct = {k for k in others[0] if len({repr(own.get(k)) for own in others}) > 1}
        for i, own in zip(group, others, strict=True):
            names[i] = _named(names[i], {k: v for k, v in own.items() if k in distinct})
    for group in _conflicts(records, names, keys):
        first: dict[str, str] = {}
        for i in group:  # portions of one result have the hash of the first
            first.setdefault(keys[i], records[i]["config_hash"].split()[0])
        prefixes = _prefixes(list(first.values()), keys=list(first))
        for i in group:
            names[i] += f" {prefixes[keys[i]]}"
    return names


def _named(name: str, settings: Mapping[str, Any]) -> str:
    """`name` with at most three settings, each under the last part of its key."""
    return " ".join([name, *(f"{k.split('.')[-1]}={v}" for k, v in list(settings.items())[:3])])


def _conflicts(records: Sequence[Row], names: Sequence[str], keys: Sequence[str]) -> list[list[int]]:
    """Positions of runs of different results that have one name on one data set, in groups."""
    cells: dict[tuple[str, str], list[int]] = {}
    for i, (record, name) in enumerate(zip(records, names, strict=True)):
        cells.setdefault((record["dataset"], name), []).append(i)
    return [group for group in cells.values() if len({keys[i] for i in group}) > 1]


def _prefixes(hashes: Sequence[str], keys: Sequence[str], shortest: int = 4) -> dict[str, str]:
    """The first characters of each hash by key, as many as tell them apart; with a number behind equal hashes."""
    length = next((n for n in range(shortest, 13) if len({h[:n] for h in hashes}) == len(hashes)), None)
    if length is not None:
        return {key: h[:length] for key, h in zip(keys, hashes, strict=True)}
    return {key: f"{h} ({i})" for i, (key, h) in enumerate(zip(keys, hashes, strict=True), 1)}


def _other_settings(record: Row) -> dict[str, Any]:
    """Everything beside the method's own settings that may tell two results apart: other keys, precision, device, data."""
    keys = {k: v for k, v in flat(record["config"]).items() if not k.startswith((*PLACE, "algo.", "trainer.")) and k != "dataset"}
    about = {"precision": record.get("precision"), "device": record["device"], "data": record["dataset_digest"][:8]}
    return keys | about | {"reference": reference_name(record)}


def settings_by_dataset(records: Sequence[Row]) -> list[str]:
    """One line for each method with settings that differ between data sets, and not between its runs on any one of them."""
    found: dict[str, list[str]] = {}
    settings = _settings(records)
    everywhere, on_one = (_differing(records, settings, of) for of in (lambda r: r["algo"], lambda r: (r["algo"], r["dataset"])))
    for algo, key in sorted(everywhere - on_one):
        found.setdefault(algo, []).append(f"algo.{key}")
    return [f"{algo}: settings that differ between data sets: {', '.join(keys)}." for algo, keys in found.items()]


def _differing(records: Sequence[Row], settings: Sequence[dict[str, Any]], group: Callable[[Row], Any]) -> set[tuple[str, str]]:
    """(method, setting) of `settings` that differ between runs of one method in one `group`."""
    seen: dict[Any, set[str]] = {}
    for record, own in zip(records, settings, strict=True):
        algo, place = record["algo"], group(record)
        for key, value in own.items():
            seen.setdefault((algo, key, place), set()).add(repr(value))
    return {(algo, key) for (algo, key, _), values in seen.items() if len(values) > 1}


def _settings(records: Sequence[Row]) -> list[dict[str, Any]]:
    """The method's settings of each run, by dotted key."""
    return [flat(record["config"].get("algo", {})) for record in records]
