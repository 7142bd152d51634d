"""The command: compose the configuration, run, and say what went wrong in one line."""

from __future__ import annotations

import os
import sys

import hydra
from omegaconf import DictConfig

from bench.config import register, to_config
from bench.explain import MISTAKES, stop
from bench.population import expanded
from bench.preflight import preflight
from bench.run import run_all


def _job(composed: DictConfig) -> None:
    """One job of a sweep, or the only one."""
    try:
        configs = expanded(to_config(composed))
        preflight(configs)
        run_all(configs)
    except MISTAKES as error:
        stop(error)


def main() -> None:
    """`python -m bench`. Exit code 2 for a user's mistake, 130 when interrupted."""
    wants_traceback = os.environ.get("HYDRA_FULL_ERROR") == "1"
    os.environ["HYDRA_FULL_ERROR"] = "1"  # Hydra then raises what it would print and exit over
    register()
    try:
        hydra.main(version_base="1.3", config_path="pkg://conf", config_name="config")(_job)()
    except MISTAKES as error:
        if wants_traceback:
            raise
        stop(error)
    except KeyboardInterrupt:
        print("interrupted; the same command goes on from the last evaluation", file=sys.stderr)
        sys.exit(130)
