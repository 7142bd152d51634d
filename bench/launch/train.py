"""Training through Hydra: `python -m bench [-m] key=value ...`."""

from __future__ import annotations

import os
import sys
from collections.abc import Sequence

import hydra

from bench.config.compose import HYDRA_VERSION, register
from bench.config.mistakes import MISTAKES
from bench.config.overrides import prepare
from bench.errors import RunError
from bench.launch.jobs import job
from bench.launch.launchers import lost_job, prefer_own_configs
from bench.launch.session import session
from bench.launch.tables import write_partial_tables


def train(arguments: Sequence[str], importing: float = 0.0) -> None:
    """Train the run or the sweep that `arguments` describe, and write its tables. importing: seconds that the process took to import.

    Raises the error of a run. If jobs of a sweep failed, the tables of the finished ones are written first.
    """
    register()
    arguments = prepare(arguments)
    prefer_own_configs()
    wanted = os.environ.get("HYDRA_FULL_ERROR", "0")
    os.environ["HYDRA_FULL_ERROR"] = "1"  # Hydra then raises errors instead of printing them and exiting
    before, sys.argv = sys.argv, [sys.argv[0], *arguments]
    try:
        session().shared.seconds["import"] = importing
        hydra.main(version_base=HYDRA_VERSION, config_path="pkg://conf", config_name="config")(job)()
        session().end_sweep()  # where the callback that writes tables, and ends the sweep, is switched off
    except Exception as error:
        write_partial_tables()
        if isinstance(error, MISTAKES) or (line := lost_job(error)) is None:
            raise
        raise RunError(line) from error
    finally:
        session().close()
        session.cache_clear()
        sys.argv = before
        os.environ["HYDRA_FULL_ERROR"] = wanted
