"""Join leaderboards, or the runs of suites, into one; equal rows and runs are kept once.

Of leaderboards, rows of runs are `ours` if the runs beside the file give them again, else
`submitted`. Of folders, such as the shards of a suite from several machines, the runs are copied
into the folder --out, and its tables are written. Different protocols or reference sets, and
different code revisions of one suite, are refused without --mixed.

Example:
  python -m bench merge results/quick/leaderboard.csv theirs.csv --selection last --out all.csv
  python -m bench merge shard-1/reference shard-2/reference --out results/reference
"""

from __future__ import annotations

from argparse import ArgumentParser, Namespace
from pathlib import Path


def add_arguments(parser: ArgumentParser) -> None:
    parser.add_argument("boards", nargs="+", type=Path, metavar="LEADERBOARD.csv|SUITE")
    parser.add_argument("--out", type=Path, help="file to write (default: standard output); of suites, the folder")
    parser.add_argument("--mixed", action="store_true", help="join rows of different protocols, reference sets and revisions")
    parser.add_argument("--selection", help="keep the rows of one selection rule, such as last")
    parser.add_argument("--source", choices=("ours", "submitted", "published"), help="keep only rows of one source")


def run(arguments: Namespace) -> None:
    from bench.errors import RunError
    from bench.results.leaderboard import board_csv
    from bench.results.merging import merge
    from envs.files import write_atomic

    folders = [path for path in arguments.boards if path.is_dir()]
    if folders:
        if len(folders) < len(arguments.boards):
            other = next(path for path in arguments.boards if path not in folders)
            raise RunError(f"{other}: expected a suite's folder, as the others are; leaderboards are merged among themselves")
        return _merge_suites(folders, arguments)
    merged = board_csv(merge(arguments.boards, arguments.mixed, arguments.selection, arguments.source))
    if arguments.out is None:
        print(merged, end="")
    else:
        write_atomic(arguments.out, merged)
    return None


def _merge_suites(folders: list[Path], arguments: Namespace) -> None:
    """Put the runs of `folders` into --out, and print its table."""
    from bench.errors import RunError
    from bench.report.render import aligned
    from bench.report.suite import rebuild
    from bench.results.protocol import TableOptions
    from bench.results.shards import merge_suites

    if arguments.out is None or arguments.selection or arguments.source:
        raise RunError("merging the runs of suites needs --out FOLDER, and takes neither --selection nor --source")
    copied = merge_suites(folders, arguments.out, arguments.mixed)
    print(aligned(rebuild(arguments.out, TableOptions(arguments.mixed))), end="")
    print(f"\n{copied} runs copied to {arguments.out}")
