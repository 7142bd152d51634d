"""The command: compose the configuration, run, and say what went wrong in one line."""

from __future__ import annotations

import difflib
import os
import re
import sys
from typing import NoReturn

import hydra
from hydra.errors import HydraException
from omegaconf import DictConfig, OmegaConf
from omegaconf.errors import OmegaConfBaseException

from bench.config import Config, register, to_config
from bench.errors import USER_ERRORS
from bench.preflight import preflight
from bench.run import run


def _job(composed: DictConfig) -> None:
    """One job of a sweep, or the only one."""
    try:
        config = to_config(composed)
        preflight([config])
        run(config)
    except (*USER_ERRORS, OSError, OmegaConfBaseException) as error:
        _stop(error)


def main() -> None:
    """`python -m bench`. Exit code 2 for a user's mistake, 130 when interrupted."""
    wants_traceback = os.environ.get("HYDRA_FULL_ERROR") == "1"
    os.environ["HYDRA_FULL_ERROR"] = "1"  # Hydra then raises what it would print and exit over
    register()
    try:
        hydra.main(version_base="1.3", config_path="pkg://conf", config_name="config")(_job)()
    except (*USER_ERRORS, OSError, HydraException, OmegaConfBaseException) as error:
        if wants_traceback:
            raise
        _stop(error)
    except KeyboardInterrupt:
        print("interrupted; the same command goes on from the last evaluation", file=sys.stderr)
        sys.exit(130)


def _stop(error: BaseException) -> NoReturn:
    print(f"error: {explain(error)}", file=sys.stderr)
    sys.exit(2)


def explain(error: BaseException) -> str:
    """One line for a user's mistake: what was given, what was expected, near names."""
    if isinstance(error, USER_ERRORS):
        return str(error)
    if isinstance(error, OSError):
        return f"{error.filename or 'file system'}: {error.strerror or error}; free space or choose another folder with results_dir=PATH"
    text = "\n".join(str(e) for e in (error, error.__cause__) if e)
    if missing := re.search(r"Could not find '(\w+)/([^']+)'", text):
        group, name = missing.groups()
        options = sorted(set(re.findall(r"^\t(\w[\w-]*)$", text, re.MULTILINE)))
        return f"{group}={name}: no such {group}{_near(name, options)}; there are {', '.join(options)}"
    if unknown := re.search(r"Key '([^']+)' (?:is not in struct|not in '\w+')(?:.*?full_key: (\S+))?", text, re.DOTALL):
        key = unknown.group(2) or unknown.group(1)
        return f"unknown key '{key}'{_near(key, _known_keys())}; python -m bench --help lists all"
    if merging := re.search(r"Error merging override (.+?)(?:\n|$)", text):
        reason = next((line for line in text.splitlines() if line.startswith(("Value ", "Cannot ", "Invalid "))), "wrong type")
        return f"{merging.group(1).strip()}: {reason}"
    return " ".join(line.strip() for line in text.splitlines()[:2] if line.strip())


def _near(name: str, options: list[str]) -> str:
    close = difflib.get_close_matches(name, options, 3, 0.5)
    return f"; near names: {', '.join(close)}" if close else ""


def _known_keys() -> list[str]:
    """Every key of the configuration, dotted."""
    from algos.weighted_bc import WeightedBCConfig

    def walk(node: DictConfig, prefix: str) -> list[str]:
        keys = [f"{prefix}{k}" for k in node]
        return keys + [key for k in node if isinstance(node._get_node(k), DictConfig) for key in walk(node[k], f"{prefix}{k}.")]

    return walk(OmegaConf.structured(Config(algo=WeightedBCConfig())), "")
