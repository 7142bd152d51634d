"""Compare two runs or suites, or the methods of one suite.

Prints paired differences, intervals, a verdict and the settings that differ. Seeds are paired:
equal seeds share the start states of their evaluation episodes. Of one suite, every pair of
--methods is compared; without it, every method with the best one.

Example:
  python -m bench compare results/quick results/longer
  python -m bench compare results/quick --methods bc,sft,iw_sft
"""

from __future__ import annotations

from argparse import ArgumentParser, Namespace
from pathlib import Path

from bench.commands.tables import names


def add_arguments(parser: ArgumentParser) -> None:
    parser.add_argument("a", type=Path, metavar="A", help="a run directory or a suite, such as results/quick")
    parser.add_argument("b", type=Path, metavar="B", nargs="?", help="another one; without it, the methods of suite A are compared")
    parser.add_argument("--methods", type=names, default=(), metavar="M,N", help="methods of suite A to compare with each other")
    parser.add_argument("--mixed", action="store_true", help="compare runs of different protocols")
    parser.add_argument("--mix-marked", action="store_true", help="mean over rows that still rise, or had few updates, and others")


def run(arguments: Namespace) -> None:
    from bench.errors import RunError
    from bench.report.compare import compare, compare_methods
    from bench.report.render import aligned

    if arguments.b is None:
        text = compare_methods(arguments.a, arguments.methods, arguments.mixed, arguments.mix_marked)
    elif arguments.methods:
        raise RunError("--methods: compares methods of one suite; give one folder")
    else:
        text = compare(arguments.a, arguments.b, arguments.mixed, arguments.mix_marked)
    print(aligned(text))
