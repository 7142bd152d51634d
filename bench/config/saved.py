"""Read saved configurations: the config.yaml of a run directory, which may be a stranger's.

YAML is read as plain data: no tag, anchor or alias, no interpolation however it is spelled, one document, nesting at most DEPTH deep.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import yaml
from omegaconf import OmegaConf
from omegaconf.errors import ConfigAttributeError, ConfigKeyError, OmegaConfBaseException

from bench.config.limits import CRITICS, EPISODES, LAYERS, ROWS, SEEDS, VALUES, WIDEST
from bench.errors import ConfigError, RunError, first_line
from envs.errors import DataError
from envs.untrusted import DEPTH, clean_tree, read_text

BYTES = 1 << 20
OTHER_VERSION = "another version of this suite wrote the run"
AGAIN = "give its command again, which trains it anew"
SECTIONS = ("algo", "eval", "online", "logger", "population", "pi_ref", "finetune", "trainer", "report")

if TYPE_CHECKING:
    from bench.config.schema import Config


def read_yaml(path: Path) -> dict[str, Any]:
    """A configuration file as plain data, its texts cleaned. Raises RunError for anything else, OSError if it is absent."""
    try:
        text = read_text(path.parent, path.name, BYTES)
        _check_events(text)
        found = _Loader(text).get_single_data()
        _refuse_interpolations(found)
    except FileNotFoundError:
        raise
    except DataError as error:
        raise RunError(str(error)) from error
    except (OSError, ValueError, TypeError, yaml.YAMLError) as error:
        raise RunError(f"{path}: cannot be read ({_reason(error)})") from error
    if not isinstance(found, dict):
        raise RunError(f"{path}: contains no configuration; expected the keys of python -m bench --help")
    return clean_tree(found, BYTES)


def read_config(folder: Path) -> dict[str, Any]:
    """config.yaml of the run in `folder` as plain data whose sections are mappings; empty if it is missing. Raises RunError."""
    path = folder / "config.yaml"
    try:
        found = read_yaml(path)
    except FileNotFoundError:
        return {}
    if wrong := next((key for key in SECTIONS if not isinstance(found.get(key, {}), dict)), None):
        raise RunError(f"{path}: {wrong} is no mapping; expected the keys of python -m bench --help")
    if not isinstance(found.get("results_dir", ""), str):
        raise RunError(f"{path}: results_dir is no text; expected a folder")
    return found


def load_config(folder: Path) -> Config:
    """The checked configuration of the run in `folder`; back ends of loggers are off.

    Raises RunError for a file that is no configuration of this suite, ConfigError for a value that cannot be used.
    """
    from bench.config.plain import misfit, schema_of
    from bench.config.schema import Config  # loads torch, which `read_yaml` does not need

    path, tree = folder / "config.yaml", read_config(folder)
    if not tree:
        raise RunError(f"{folder}: no config.yaml in it; expected a run directory (config.yaml, checkpoint.safetensors)")
    if not tree.get("algo"):
        raise RunError(f"{path}: no configuration of a run; expected the keys of python -m bench --help")
    if isinstance(seeds := tree.get("seeds"), list) and len(seeds) > SEEDS:  # OmegaConf takes a millisecond for each
        raise RunError(f"{path}: seeds: expected at most {SEEDS}, not {len(seeds)}")
    try:
        merged: Any = OmegaConf.merge(OmegaConf.structured(Config), {k: v for k, v in tree.items() if k not in ("algo", "logger")})
        merged.algo = OmegaConf.merge(OmegaConf.structured(schema_of(tree["algo"])), tree["algo"])
        config = OmegaConf.to_object(merged)
    except (ConfigKeyError, ConfigAttributeError) as error:
        raise RunError(f"{path}: {OTHER_VERSION} (unknown key '{error.full_key or error.key}'); {AGAIN}") from error
    except LookupError as error:
        raise RunError(f"{path}: {OTHER_VERSION} ({error.args[0]}); {AGAIN}") from error
    except (OmegaConfBaseException, ValueError, TypeError, OverflowError) as error:
        raise RunError(f"{path}: is no configuration of this suite ({_reason(error)})") from error
    assert isinstance(config, Config)
    if key := misfit(config):
        raise RunError(f"{path}: is no configuration of this suite ({key} has an item of another type)")
    _check_sizes(path, config)
    try:
        config.check()
    except ConfigError as error:
        raise ConfigError(f"{path}: {error}") from error
    return config


def _check_sizes(path: Path, config: Config) -> None:
    """Raise RunError for numbers of networks, seeds or episodes that no run has: to build or play them would exhaust the machine."""
    hidden, algo, seeds = config.algo.hidden, config.algo, config.seeds
    if len(hidden) > LAYERS or any(width > WIDEST for width in hidden):
        raise RunError(f"{path}: algo.hidden: expected at most {LAYERS} layers of at most {WIDEST} units")
    for name in ("critics", "samples", "steps"):
        if getattr(algo, name, 0) > CRITICS:
            raise RunError(f"{path}: algo.{name} = {getattr(algo, name)}: expected at most {CRITICS}")
    if any(seed >= 2**63 for seed in seeds):
        raise RunError(f"{path}: seeds: expected numbers below 2^63")
    for name in ("episodes", "final_episodes"):
        if (value := getattr(config.eval, name)) > EPISODES or value * len(seeds) > ROWS:
            raise RunError(f"{path}: eval.{name} = {value}: expected at most {EPISODES} a seed and {ROWS} in all")


# YAML.


class _Loader(getattr(yaml, "CSafeLoader", yaml.SafeLoader)):  # type: ignore[misc]
    """YAML 1.1 with the floats of OmegaConf, which wrote the file: 1e-3 is a number."""


def _own_resolvers() -> None:
    """Copy OmegaConf's rules for plain values, which read 1e-3 as a number and leave dates as text."""
    from omegaconf._utils import get_yaml_loader

    _Loader.yaml_implicit_resolvers = get_yaml_loader().yaml_implicit_resolvers


_own_resolvers()


def _check_events(text: str) -> None:
    """Raise ValueError for YAML with an anchor, an alias, a tag, or deep nesting, before any value is built."""
    depth = documents = values = 0
    for event in yaml.parse(text, Loader=_Loader):
        if isinstance(event, yaml.AliasEvent) or getattr(event, "anchor", None) is not None:
            raise ValueError("it has an anchor or alias; expected plain values")
        if getattr(event, "tag", None) is not None:
            raise ValueError(f"it has a tag, {event.tag[:50]}; expected plain values")
        values += isinstance(event, yaml.ScalarEvent)
        documents += isinstance(event, yaml.DocumentStartEvent)
        depth += isinstance(event, yaml.CollectionStartEvent) - isinstance(event, yaml.CollectionEndEvent)
        if depth > DEPTH:
            raise ValueError(f"nested more than {DEPTH} deep")
        if documents > 1 or values > VALUES:
            raise ValueError(f"it has several documents, or more than {VALUES} values")


def _refuse_interpolations(value: Any) -> None:
    """Raise ValueError for a text with ${...}, in a key or a value: ${oc.env:KEY} would read a secret of this machine."""
    if isinstance(value, dict):
        for key, item in value.items():
            _refuse_interpolations(key)
            _refuse_interpolations(item)
    elif isinstance(value, list):
        for item in value:
            _refuse_interpolations(item)
    elif isinstance(value, str) and "${" in value:
        raise ValueError("contains an interpolation (${...}); expected a resolved configuration, as a run saves it")


def _reason(error: Exception) -> str:
    """The first line of an error, with the line of the file where it is known."""
    mark = getattr(error, "problem_mark", None)
    return f"line {mark.line + 1}: {first_line(getattr(error, 'problem', error))}" if mark is not None else first_line(error)
