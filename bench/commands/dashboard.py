"""Build a workspace and a report of the suite's runs at Weights & Biases.

They show the runs that `logger=wandb` sent. Needs the extra `dashboard`, an account and the
network.

Example:
  python -m bench dashboard --suite paper --entity my-team
"""

from __future__ import annotations

from argparse import ArgumentParser, Namespace


def add_arguments(parser: ArgumentParser) -> None:
    parser.add_argument("--project", default="iwsft-bench", help="logger.project of the runs (default: iwsft-bench)")
    parser.add_argument("--entity", help="user or team (default: the account's own)")
    parser.add_argument("--suite", help="only the runs of this suite (default: all)")


def run(arguments: Namespace) -> None:
    from bench.loggers.dashboard import build

    print("\n".join(build(arguments.entity, arguments.project, arguments.suite)))
