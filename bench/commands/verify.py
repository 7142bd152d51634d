"""Play the final episodes of a run again and compare the returns with the recorded ones.

Exit code 0 if the run's row reproduces, 1 if it does not.

Example:
  python -m bench verify results/quick/runs/iwsft-hopper-medium-replay-v0-bc-*
"""

from __future__ import annotations

from argparse import ArgumentParser, Namespace
from pathlib import Path

from bench.errors import EXIT_DIFFERENCE


def add_arguments(parser: ArgumentParser) -> None:
    parser.add_argument("run", type=Path, metavar="RUN", help="a run directory")
    parser.add_argument("--allow-download", action="store_true", help="download the data sets that the run names, if they are absent")
    parser.add_argument("--workers", type=int, help="processes that step environments (default: one per core)")


def run(arguments: Namespace) -> int:
    from bench.replay.verify import verify

    verdict = verify(arguments.run, arguments.workers, arguments.allow_download)
    print(verdict.message)
    return 0 if verdict.reproduces else EXIT_DIFFERENCE
