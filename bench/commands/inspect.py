"""Print the facts of a data set, with warnings, and write them as a page with figures.

Example:
  python -m bench inspect iwsft/hopper/medium-replay-v0
  python -m bench inspect 'd4rl/hopper-medium-replay-v2@top:5%' --folder pages
"""

from __future__ import annotations

from argparse import ArgumentParser, Namespace
from pathlib import Path

from bench.errors import RunError


def add_arguments(parser: ArgumentParser) -> None:
    parser.add_argument("dataset", metavar="DATASET", help="anything that dataset= accepts")
    parser.add_argument("--folder", type=Path, default=Path("results/inspect"), help="folder of the page (default: results/inspect)")


def run(arguments: Namespace) -> None:
    from bench.config.extras import REPORT, require_extra

    require_extra("inspect", "report", *REPORT)
    from envs.inspect.console import show
    from envs.inspect.facts import facts_of
    from envs.inspect.page import write
    from envs.readers.behaviours import behaviours
    from envs.readers.load import load

    data = load(arguments.dataset)
    facts = facts_of(data, behaviours(arguments.dataset))
    show(facts)
    try:
        print(f"\nwritten: {write(data, facts, arguments.folder)}")
    except OSError as error:
        raise RunError(f"{error.filename or arguments.folder}: {error.strerror or error}; choose another folder with --folder") from error
