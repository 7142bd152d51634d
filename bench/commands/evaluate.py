"""Evaluate a finished run again with other evaluation settings, without training.

Settings: episodes=N, actions=mean, sampled or both (default: the run's), and those of the
method (cfgrl: guidance=W,W,...). Every combination of the values is played. Writes
evaluation.csv into the run directory and prints a table.

Example:
  python -m bench evaluate results/single/runs/*-cfgrl-* guidance=1,1.5,3
"""

from __future__ import annotations

from argparse import ArgumentParser, Namespace
from pathlib import Path


def add_arguments(parser: ArgumentParser) -> None:
    parser.add_argument("run", type=Path, metavar="RUN", help="a run directory")
    parser.add_argument("settings", nargs="+", metavar="KEY=VALUE,VALUE,...", help="evaluation settings")
    parser.add_argument("--workers", type=int, help="processes that step environments (default: one per core)")


def run(arguments: Namespace) -> None:
    from bench.replay.evaluate import evaluate

    print(evaluate(arguments.run, arguments.settings, arguments.workers), end="")
