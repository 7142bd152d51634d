"""Compose configurations: conf/, the schema and overrides as on the command line become a checked `Config`."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import fields, is_dataclass
from functools import cache
from typing import Any

from hydra import version
from hydra._internal.config_loader_impl import ConfigLoaderImpl
from hydra._internal.utils import create_config_search_path
from hydra.core.config_loader import ConfigLoader
from hydra.core.config_store import ConfigStore
from hydra.core.global_hydra import GlobalHydra
from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.core.override_parser.types import Override
from hydra.errors import HydraException
from hydra.types import RunMode
from omegaconf import DictConfig, OmegaConf, open_dict, read_write
from omegaconf.errors import OmegaConfBaseException

from algos.errors import ConfigError
from algos.registry import methods
from bench.config.budgets import evenly, updates_of
from bench.config.domains import domain_value
from bench.config.keys import unknown_key
from bench.config.overrides import prepare
from bench.config.schema import Config
from bench.config.tree import flat

HYDRA_VERSION = "1.3"  # the defaults of Hydra that conf/ is written for


def register() -> None:
    """Register the dataclasses and the resolvers that conf/ refers to. Repeated calls change nothing."""
    _register(tuple(methods().items()))


@cache
def _register(known: tuple[tuple[str, type], ...]) -> None:
    """Register with the settings of the `known` methods, once."""
    store = ConfigStore.instance()
    schema = OmegaConf.structured(Config)
    OmegaConf.set_struct(schema.population, False)  # its keys are settings of the method
    for by_method in (schema.report.configs_tried, schema.report.chosen_by):
        OmegaConf.set_struct(by_method, False)  # its keys are methods
    store.store(name="schema", node=schema)
    for name, algo in known:
        store.store(group="algo/schema", name=name, node=algo)
    for name, resolver in (("domain", domain_value), ("updates_of", updates_of), ("evenly", evenly)):
        OmegaConf.register_new_resolver(name, resolver, replace=True)


def compose(overrides: Sequence[str] = ()) -> Config:
    """The checked configuration that `python -m bench OVERRIDES` would train. Hydra's global state stays untouched.

    Raises ConfigError, or the errors of Hydra and OmegaConf that `bench.config.mistakes.explain` puts in one line.
    """
    loader = _loader()
    return to_config(_without_hydra(loader.load_configuration("config", prepare(overrides), RunMode.RUN, from_shell=False)))


def sweep_overrides(overrides: Sequence[str]) -> list[Override]:
    """The overrides of the sweep that `python -m bench OVERRIDES` would run, those of its suite first; ranges are not expanded."""
    given = prepare(overrides)
    whole = _loader().load_configuration("config", given, RunMode.MULTIRUN, from_shell=False)
    params = (f"{key}={value}" for key, value in (whole.hydra.sweeper.params or {}).items())
    return OverridesParser.create(config_loader=_loader()).parse_overrides([*params, *given])


def compose_job(sweep: DictConfig, overrides: Sequence[str]) -> Config:
    """The checked configuration of one job of the running command's sweep."""
    return to_config(_without_hydra(GlobalHydra.instance().config_loader().load_sweep_config(sweep, list(overrides))))


def to_config(composed: DictConfig) -> Config:
    """The checked configuration of a composed one. Raises ConfigError, or OmegaConf's errors for wrong types."""
    for key in _extra_keys(composed):
        raise ConfigError(unknown_key(key))
    config = OmegaConf.to_object(composed)
    assert isinstance(config, Config)
    config.check()
    return config


@cache
def defaults(algo: str) -> dict[str, Any]:
    """Every key of `algo=NAME` without a suite, by dotted name; empty for a method that conf/algo does not have."""
    try:
        composed = _without_hydra(_loader().load_configuration("config", [f"algo={algo}"], RunMode.RUN))
    except (HydraException, OmegaConfBaseException):
        return {}
    return flat(OmegaConf.to_container(composed, resolve=True, enum_to_str=True))  # type: ignore[arg-type]


def _extra_keys(node: DictConfig, prefix: str = "") -> Iterator[str]:
    """Keys that the dataclass of `node` or of a group in it does not have; to_object would keep them."""
    schema = OmegaConf.get_type(node)
    known = {f.name for f in fields(schema)} if is_dataclass(schema) else set(node)
    for key in map(str, node):
        if key not in known:
            yield prefix + key
        elif isinstance(child := node._get_node(key), DictConfig) and not child._is_none() and not child._is_missing():
            yield from _extra_keys(child, f"{prefix}{key}.")


@cache
def _loader() -> ConfigLoader:
    """A loader of conf/. Hydra's public `compose` needs a global one, which a command or a user's program may already hold."""
    register()
    version.setbase(HYDRA_VERSION)
    return ConfigLoaderImpl(create_config_search_path("pkg://conf"))


def _without_hydra(whole: DictConfig) -> DictConfig:
    with read_write(whole), open_dict(whole):
        del whole["hydra"]
    return whole
