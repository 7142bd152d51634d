"""Test the claims of the paper: train, compare, draw, and write a verdict.

Without a name, list the studies. `all` does every one. Results go to results/studies/NAME.

Example:
  python -m bench study bandit
  python -m bench study all --out verdicts
"""

from __future__ import annotations

from argparse import ArgumentParser, Namespace
from pathlib import Path


def add_arguments(parser: ArgumentParser) -> None:
    parser.add_argument("name", nargs="?", metavar="NAME", help="a study, or all")
    parser.add_argument("--out", type=Path, default=Path("results/studies"), help="folder of the results (results/studies)")
    parser.add_argument("--toy", action="store_true", help="a miniature in seconds, whose numbers mean nothing")


def run(arguments: Namespace) -> None:
    from bench.studies.study import Options, names, run, title

    if arguments.name is None:
        for name in names():
            print(f"  {name:10} {title(name)}")
        return
    for name in names() if arguments.name == "all" else [arguments.name]:
        print(run(name, Options(arguments.toy, arguments.out)) / "README.md")
