"""Grouping of runs into populations: runs that differ in seeds and batchable settings (algos/members.py) alone are trained together."""

from __future__ import annotations

import sys
from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from dataclasses import asdict, replace
from itertools import product
from typing import Any

from algos.base import MethodConfig
from algos.errors import ConfigError
from algos.members import batchable_settings, with_settings
from bench.config.schema import Config, OnlineConfig
from bench.config.tree import flat
from bench.storage.layout import digest_of
from bench.storage.rundir import Point, Resumed, RunDir
from bench.training.device import device_of

OWN = ("algo", "seeds", "finetune", "population")  # keys of Config that members may differ in, or that are compared in parts


MAX_MEMBERS_ON_CPU = 16  # more members were not measured; the speed no longer rose from 4 on (docs/populations.md)


def expanded(config: Config) -> list[Config]:
    """The runs of a configuration: one for each combination of the values in `population`, or the configuration itself.

    Raises ConfigError for a setting that is not batchable, or a value that the method refuses.
    """
    alone = replace(config, population={})
    lists = flat(config.population)
    keys = [_resolve(key, config.algo) for key in lists]
    for key, full in zip(lists, keys, strict=True):
        if keys.count(full) > 1:
            raise ConfigError(f"population.{key}: algo.{full} is given twice")
    values = [_values(key, given) for key, given in lists.items()]
    for full, given in zip(keys, values, strict=True):
        _check_used(full, given[0], config.algo)
    found = [replace(alone, algo=with_settings(config.algo, dict(zip(keys, point, strict=True)))) for point in product(*values)]
    for run in found:
        run.check()
    return found


def _resolve(key: str, algo: Any) -> str:
    """The dotted batchable setting of `algo` that `key` names: its path, or the end of its path if no other setting has the same end."""
    known = list(batchable_settings(algo))
    fitting = [key] if key in known else [k for k in known if k.endswith(f".{key}")]
    if len(fitting) > 1:
        raise ConfigError(f"population.{key}: may be {' or '.join(f'population.{k}' for k in fitting)}; say which")
    if not fitting:
        raise ConfigError(f"population.{key}: members of {algo.name} cannot differ in it; they can in {', '.join(known)}")
    return fitting[0]


def _check_used(key: str, value: float, algo: MethodConfig) -> None:
    """Raise ConfigError if the result of `algo` does not depend on its setting `key`: members that differ in it alone would be equal."""
    one, other = (with_settings(algo, {key: v}).determinants() for v in (value, value + 1))
    if one == other:
        raise ConfigError(f"population.{key}: {algo.name} does not use algo.{key}, so its members would be equal; leave it out")


def _values(key: str, given: Any) -> list[float]:
    values = given if isinstance(given, list) else [given]
    if not values or any(isinstance(v, bool) or not isinstance(v, int | float) for v in values):
        raise ConfigError(f"population.{key} = {given}: expected numbers, as in population.{key}=[1,3,10]")
    if len(set(values)) < len(values):
        raise ConfigError(f"population.{key} = {given}: expected each value once")
    return [float(v) for v in values]


def population_key(config: Config) -> str:
    """A digest that is equal for runs that can be trained together."""
    own = OWN if config.algo.needs_pi_ref else (*OWN, "pi_ref")
    rest = {name: value for name, value in asdict(config).items() if name not in own}
    del rest["trainer"]["max_members"]
    algo = with_settings(config.algo, dict.fromkeys(batchable_settings(config.algo), 0.0))
    return digest_of((rest, type(algo).__name__, asdict(algo)))


def populations(configs: Iterable[Config]) -> list[list[Config]]:
    """`configs` in groups of equal `population_key`, in the order of their first runs."""
    groups: dict[str, list[Config]] = {}
    for config in configs:
        groups.setdefault(population_key(config), []).append(config)
    return list(groups.values())


def split(configs: Sequence[Config], limit: int) -> list[list[Config]]:
    """`configs` in consecutive groups of at most `limit` members; a larger run is a group of its own."""
    groups: list[list[Config]] = []
    for config in configs:
        if groups and sum(len(c.seeds) for c in groups[-1]) + len(config.seeds) <= limit:
            groups[-1].append(config)
        else:
            groups.append([config])
    return groups


def max_members(config: Config) -> int:
    """Members of one population at most: `trainer.max_members`, by default a constant on a CPU and no limit on a GPU.

    Where memory does not suffice, the population is trained in smaller groups (bench.training.population).
    """
    if config.trainer.max_members is not None:
        return config.trainer.max_members
    return MAX_MEMBERS_ON_CPU if device_of(config.device).type == "cpu" else sys.maxsize


def differing_settings(configs: Sequence[Config]) -> list[str]:
    """For each run of a population its settings that differ from another's: "weighting.temperature=3 seeds=[0]"; empty for a single run."""
    points = [batchable_settings(c.algo) | {"seeds": list(c.seeds)} for c in configs]
    differing = [k for k in points[0] if any(p[k] != points[0][k] for p in points)]
    return [" ".join(f"{k}={p[k]:g}" if isinstance(p[k], float) else f"{k}={p[k]}" for k in differing) for p in points]


def _offline(folder: RunDir) -> Resumed | None:
    """The end of the finished run that is the first phase of `folder`'s, from which an online phase goes on; None without one."""
    if not folder.config.online.steps or folder.config.force:
        return None
    first = RunDir(replace(folder.config, online=OnlineConfig()), *folder.identity)
    updates = first.config.algo.updates
    return first.resume((updates, updates)) if first.finished and not first.damage() else None


def group_by_checkpoint(folders: Sequence[RunDir], say: Callable[[str], None]) -> list[list[tuple[RunDir, Resumed | None]]]:
    """Runs with their checkpoints, in groups whose checkpoints are of the same update, the latest first.

    If a population died between the saves of two of its runs, all of them return to the update that all have saved: the same members are
    then trained together again, and round as they would have. `say` reports damaged files.
    """
    points = {folder.path: folder.points() for folder in folders}
    common = Counter(point for found in points.values() for point in found)
    groups: dict[Point, list[tuple[RunDir, Resumed | None]]] = {}
    for folder in folders:
        best = max(points[folder.path], key=lambda point: (common[point], point), default=None)
        saved = folder.resume(best) or _offline(folder)
        for note in saved.notes if saved else ():
            say(note)
        groups.setdefault(saved.point if saved else (0, 0), []).append((folder, saved if saved and saved.state else None))
    return [groups[point] for point in sorted(groups, reverse=True)]
