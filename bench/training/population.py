"""Which runs are trained as one population: those that differ in seeds and batchable settings (algos/members.py) alone."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import asdict, replace
from itertools import product
from typing import Any

from algos.errors import ConfigError
from algos.members import batchable_settings, with_settings
from bench.config.compose import flat
from bench.config.schema import Config
from bench.storage.rundir import digest_of

OWN = ("algo", "seeds", "finetune", "population")  # of Config: compared in parts, or without effect on a run of its own


def expanded(config: Config) -> list[Config]:
    """The runs that `config` stands for: its own, or one for each combination of the values below `population`.

    Raises ConfigError for a key in which members cannot differ, or a value that the method refuses.
    """
    alone = replace(config, population={})
    lists = flat(config.population)
    keys = [_resolve(key, config.algo) for key in lists]
    for key, full in zip(lists, keys, strict=True):
        if keys.count(full) > 1:
            raise ConfigError(f"population.{key}: algo.{full} is given twice")
    values = [_values(key, given) for key, given in lists.items()]
    found = [replace(alone, algo=with_settings(config.algo, dict(zip(keys, point, strict=True)))) for point in product(*values)]
    for run in found:
        run.check()
    return found


def _resolve(key: str, algo: Any) -> str:
    """The dotted setting of `algo` that `key` names, by its path or, if only one ends so, by its end."""
    known = list(batchable_settings(algo))
    fitting = [key] if key in known else [k for k in known if k.endswith(f".{key}")]
    if len(fitting) > 1:
        raise ConfigError(f"population.{key}: may be {' or '.join(f'population.{k}' for k in fitting)}; say which")
    if not fitting:
        raise ConfigError(f"population.{key}: members of {algo.name} cannot differ in it; they can in {', '.join(known)}")
    return fitting[0]


def _values(key: str, given: Any) -> list[float]:
    values = given if isinstance(given, list) else [given]
    if not values or any(isinstance(v, bool) or not isinstance(v, int | float) for v in values):
        raise ConfigError(f"population.{key} = {given}: expected numbers, as in population.{key}=[1,3,10]")
    if len(set(values)) < len(values):
        raise ConfigError(f"population.{key} = {given}: expected each value once")
    return [float(v) for v in values]


def population_key(config: Config) -> str:
    """Equal for two runs that can be members of one population."""
    own = OWN if config.algo.needs_pi_ref else (*OWN, "pi_ref")
    rest = {name: value for name, value in asdict(config).items() if name not in own}
    del rest["trainer"]["max_members"]
    algo = with_settings(config.algo, dict.fromkeys(batchable_settings(config.algo), 0.0))
    return digest_of((rest, type(algo).__name__, asdict(algo)))


def populations(configs: Iterable[Config]) -> list[list[Config]]:
    """`configs` in groups that can be trained together, in the order of their first runs."""
    groups: dict[str, list[Config]] = {}
    for config in configs:
        groups.setdefault(population_key(config), []).append(config)
    return list(groups.values())


def split(configs: Sequence[Config], limit: int) -> list[list[Config]]:
    """`configs` in consecutive groups of at most `limit` members; one run is never split."""
    groups: list[list[Config]] = []
    for config in configs:
        if groups and sum(len(c.seeds) for c in groups[-1]) + len(config.seeds) <= limit:
            groups[-1].append(config)
        else:
            groups.append([config])
    return groups


def settings_of(configs: Sequence[Config]) -> list[str]:
    """What sets each of `configs` apart from the others: "weighting.temperature=3 seeds=[0]"; empty for what stands alone."""
    points = [batchable_settings(c.algo) | {"seeds": list(c.seeds)} for c in configs]
    differing = [k for k in points[0] if any(p[k] != points[0][k] for p in points)]
    return [" ".join(f"{k}={p[k]:g}" if isinstance(p[k], float) else f"{k}={p[k]}" for k in differing) for p in points]
