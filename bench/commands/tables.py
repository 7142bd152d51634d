"""Rebuild the tables, figures and report page of a suite from its runs.

Prints table.md, and writes it, table.tex, table.csv, leaderboard.csv, scores.csv, costs.md,
report.html and figures/ into the suite's folder. Runs of different protocols share no table: they
are refused without --mixed.

Example:
  python -m bench tables results/quick
  python -m bench tables results/quick --methods bc,iw_sft
"""

from __future__ import annotations

from argparse import ArgumentParser, Namespace
from pathlib import Path


def add_arguments(parser: ArgumentParser) -> None:
    parser.add_argument("suite", type=Path, help="folder of the suite, such as results/quick")
    parser.add_argument("--mixed", action="store_true", help="write one table per protocol instead of refusing several")
    parser.add_argument(
        "--mix-marked", action="store_true", help="average and rank rows that still rise, or had few updates, with the others"
    )
    parser.add_argument("--yardstick", action="store_true", help="measure this machine's speed for costs.md; 2 s")
    parser.add_argument("--published", action="store_true", help="add tables of published scores on the same tasks")
    parser.add_argument("--root", type=Path, help="count the configurations tried in all suites below this folder, too")
    parser.add_argument("--methods", type=names, default=(), metavar="A,B", help="show these methods in figures (default: the 24 best)")
    parser.add_argument("--pdf", action="store_true", help="write figures as PDF, too, which takes as long as SVG and PNG together")


def names(text: str) -> tuple[str, ...]:
    """The names in a list separated by commas."""
    return tuple(name.strip() for name in text.split(",") if name.strip())


def run(arguments: Namespace) -> None:
    from bench.report.render import aligned
    from bench.report.suite import rebuild
    from bench.results.protocol import TableOptions

    options = TableOptions(arguments.mixed, arguments.published, arguments.root, arguments.methods, arguments.mix_marked, arguments.pdf)
    yardstick = ""
    if arguments.yardstick:
        from bench.speed.reading import yardstick_line  # loads torch

        yardstick = yardstick_line()
    print(aligned(rebuild(arguments.suite, options, yardstick=yardstick)), end="")
