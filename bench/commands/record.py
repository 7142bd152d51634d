"""Record built-in data sets into Minari's root (MINARI_DATASETS_PATH).

Example:
  python -m bench record iwsft/hopper/medium-v0
  python -m bench record --all
"""

from __future__ import annotations

from argparse import ArgumentParser, Namespace

from bench.errors import RunError


def add_arguments(parser: ArgumentParser) -> None:
    parser.add_argument("datasets", nargs="*", metavar="DATASET", help="ids such as iwsft/hopper/medium-replay-v0")
    parser.add_argument("--all", action="store_true", help="every built-in data set")


def run(arguments: Namespace) -> None:
    from envs.recorded.record import built_in_sets, record

    if not (arguments.datasets or arguments.all):
        raise RunError(f"record: expected ids or --all; built-in data sets are {', '.join(built_in_sets())}")
    for dataset in built_in_sets() if arguments.all else arguments.datasets:
        print(record(dataset))
