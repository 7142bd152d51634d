"""Read saved configurations: the config.yaml of a run directory, which may be a stranger's."""

from __future__ import annotations

from dataclasses import fields
from pathlib import Path
from typing import TYPE_CHECKING, Any

from omegaconf import OmegaConf
from omegaconf.errors import OmegaConfBaseException
from yaml import YAMLError

from bench.errors import RunError, first_line

if TYPE_CHECKING:
    from bench.config.schema import Config


def read_yaml(path: Path) -> dict[str, Any]:
    """A configuration file as plain data; no tag and no interpolation in it is followed. Raises RunError for anything else."""
    try:
        if "${" in path.read_text():  # ${oc.env:KEY} in a stranger's file would read a secret of this machine
            raise RunError(f"{path}: contains an interpolation (${{...}}); expected a resolved configuration, as a run saves it")
        found = OmegaConf.to_container(OmegaConf.load(path))
    except (OSError, ValueError, YAMLError, OmegaConfBaseException) as error:
        raise RunError(f"{path}: cannot be read ({first_line(error)})") from error
    if not isinstance(found, dict):
        raise RunError(f"{path}: contains no configuration; expected the keys of python -m bench --help")
    return {str(k): v for k, v in found.items()}


def load_config(folder: Path) -> Config:
    """The checked configuration of the run in `folder`; back ends of loggers are off.

    Raises RunError, ConfigError, or OmegaConf's errors for keys and types that the schema does not have.
    """
    from bench.config.schema import Config  # loads torch, which `read_yaml` does not need

    path = folder / "config.yaml"
    if not path.is_file():
        raise RunError(f"{folder}: no config.yaml in it; expected a run directory (config.yaml, checkpoint.safetensors)")
    tree = read_yaml(path)
    if not isinstance(tree.get("algo"), dict):
        raise RunError(f"{path}: no configuration of a run; expected the keys of python -m bench --help")
    merged: Any = OmegaConf.merge(OmegaConf.structured(Config), {k: v for k, v in tree.items() if k not in ("algo", "logger")})
    merged.algo = OmegaConf.merge(OmegaConf.structured(_schema(path, tree["algo"])), tree["algo"])
    config = OmegaConf.to_object(merged)
    assert isinstance(config, Config)
    config.check()
    return config


def _schema(path: Path, algo: dict[str, Any]) -> type[Any]:
    """The dataclass of the method: the one with exactly these keys; of several, the one whose name is saved."""
    from algos.registry import methods  # loads torch

    fitting = [schema for schema in methods().values() if {f.name for f in fields(schema)} == set(algo)]
    if not fitting:
        raise RunError(f"{path}: no method of this suite has the keys {', '.join(algo)}; another version wrote the file")
    return next((schema for schema in fitting if schema().name == algo["name"]), fitting[0])
