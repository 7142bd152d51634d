"""Test the claims of the paper: train, compare, draw, and write a verdict.

Without a name, list the studies. `all` does every one. `study=NAME` is the same as `study NAME`.
Results go to results/studies/NAME. A study made of runs is resumed, and can be done a data set at a
time: rows of the others are kept, and the verdict is that of all rows.

Example:
  python -m bench study bandit
  python -m bench study ordering --only iwsft/hopper/mixed-v0
  python -m bench study=all --out verdicts
"""

from __future__ import annotations

from argparse import ArgumentParser, Namespace
from pathlib import Path

from bench.errors import RunError, require_folder


def add_arguments(parser: ArgumentParser) -> None:
    parser.add_argument("name", nargs="?", metavar="NAME", help="a study, or all")
    parser.add_argument("--out", type=Path, default=Path("results/studies"), help="folder of the results (results/studies)")
    parser.add_argument("--only", metavar="DATASET", help="compute this data set alone, and keep the rows of the others")
    parser.add_argument("--seeds", type=int, metavar="N", help="seeds 0 to N - 1, in place of the study's own number")
    parser.add_argument("--episodes", type=int, metavar="N", help="final episodes a seed, in place of the study's own number")
    parser.add_argument("--no-runs", action="store_true", help="compute nothing; figure and verdict of the rows so far")
    parser.add_argument("--toy", action="store_true", help="a miniature in seconds, whose numbers mean nothing")


def run(arguments: Namespace) -> None:
    from bench.studies.study import Options, datasets, names, run, title

    if arguments.name is None:
        for name in names():
            print(f"  {name:10} {title(name)}")
        return
    require_folder("--out", arguments.out)
    options = Options(arguments.toy, arguments.out, arguments.only, arguments.seeds, arguments.episodes, not arguments.no_runs)
    chosen = [arguments.name]
    if arguments.name == "all":
        chosen = [name for name in names() if options.only is None or options.only in datasets(name)]
    if not chosen:
        known = dict.fromkeys(dataset for name in names() for dataset in datasets(name))
        raise RunError(f"study all --only {options.only}: no study is done on it; expected {', '.join(known)}")
    for name in chosen:
        print(run(name, options) / "README.md")
