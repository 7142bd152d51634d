"""Compare two runs or suites: paired differences, intervals, a verdict, settings.

Seeds are paired: equal seeds share the start states of their evaluation episodes.

Example:
  python -m bench compare results/quick results/longer
"""

from __future__ import annotations

from argparse import ArgumentParser, Namespace
from pathlib import Path


def add_arguments(parser: ArgumentParser) -> None:
    parser.add_argument("a", type=Path, metavar="A", help="a run directory or a suite, such as results/quick")
    parser.add_argument("b", type=Path, metavar="B", help="another one")
    parser.add_argument("--mixed", action="store_true", help="compare runs of different protocols")


def run(arguments: Namespace) -> None:
    from bench.report.compare import compare
    from bench.report.render import aligned

    print(aligned(compare(arguments.a, arguments.b, arguments.mixed)))
