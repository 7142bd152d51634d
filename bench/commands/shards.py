"""List the shards of a suite, one data set and one method each, with their hours on this machine.

Arguments are those of the training command. Each method is timed for 1.5 s, on the suite's first
data set; so are the steps of an online phase. A shard is run with dataset=... algo=..., for
example on one of several machines; `merge` puts the shards together.

Example:
  python -m bench shards suite=reference
  python -m bench shards suite=reference algo=iql,td3_bc algo.updates=100000
"""

from __future__ import annotations

import sys
from argparse import ArgumentParser, Namespace


def add_arguments(parser: ArgumentParser) -> None:
    parser.add_argument("overrides", nargs="+", metavar="KEY=VALUE", help="suite=NAME, and settings as for training")


def run(arguments: Namespace) -> None:
    from bench.launch.shards import shards, table
    from bench.report.render import aligned, markdown_rows

    found = shards(arguments.overrides, lambda line: print(line, file=sys.stderr, flush=True))
    print(aligned("\n".join(markdown_rows(table(found)))))
    suite, first = found[0].config.suite, found[0].config
    print(f"\none of them: python -m bench suite={suite} dataset={first.dataset} algo={first.algo.name}")
