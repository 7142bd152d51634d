"""Check a run of any origin: compute again what its row shows, and play its episodes again.

Prints what agrees, what differs, and what could not be checked; the last line is the verdict. Exit
code 0 if all that was checked agrees, 1 if something differs, 2 if nothing can be said.

Example:
  python -m bench verify results/quick/runs/iwsft-hopper-medium-replay-v0-bc-*
"""

from __future__ import annotations

from argparse import ArgumentParser, Namespace
from pathlib import Path


def add_arguments(parser: ArgumentParser) -> None:
    parser.add_argument("run", type=Path, metavar="RUN", help="a run directory")
    parser.add_argument(
        "--allow-download", action="store_true", help="download, record or convert the data sets that the run names, if absent"
    )
    parser.add_argument("--workers", type=int, help="processes that step environments (default: one per core)")
    parser.add_argument("--plays", type=int, default=8, help="times that each episode is played where rounding differs (default: 8)")
    parser.add_argument("--simulate", type=int, metavar="N", help="instead, simulate N honest and N forged submissions of this run")


def run(arguments: Namespace) -> int:
    if arguments.simulate is not None:
        from bench.replay.power import simulate

        print(simulate(arguments.run, arguments.simulate, arguments.workers, arguments.plays))
        return 0
    from bench.replay.verify import verify

    verdict = verify(arguments.run, arguments.workers, arguments.allow_download, arguments.plays)
    print(verdict.message)
    return verdict.code
