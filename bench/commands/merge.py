"""Join leaderboards into one; equal rows are kept once.

Rows of runs are `ours` if the runs beside the file give them again, else `submitted`. Rows of
different protocols or reference sets are refused without --mixed.

Example:
  python -m bench merge results/quick/leaderboard.csv theirs.csv --selection last --out all.csv
"""

from __future__ import annotations

from argparse import ArgumentParser, Namespace
from pathlib import Path


def add_arguments(parser: ArgumentParser) -> None:
    parser.add_argument("boards", nargs="+", type=Path, metavar="LEADERBOARD.csv")
    parser.add_argument("--out", type=Path, help="file to write (default: standard output)")
    parser.add_argument("--mixed", action="store_true", help="join rows of different protocols and reference sets")
    parser.add_argument("--selection", help="keep the rows of one selection rule, such as last")
    parser.add_argument("--source", choices=("ours", "submitted", "published"), help="keep only rows of one source")


def run(arguments: Namespace) -> None:
    from bench.results.leaderboard import board_csv
    from bench.results.merging import merge
    from envs.files import write_atomic

    merged = board_csv(merge(arguments.boards, arguments.mixed, arguments.selection, arguments.source))
    if arguments.out is None:
        print(merged, end="")
    else:
        write_atomic(arguments.out, merged)
