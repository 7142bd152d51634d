"""Film one final episode of a run; report.html shows the film.

Writes episode-SEED-EPISODE.webp into the run directory. MuJoCo renders through EGL or OSMesa;
no screen is needed.

Example:
  python -m bench film results/quick/runs/iwsft-hopper-medium-replay-v0-bc-* --seed 1
"""

from __future__ import annotations

from argparse import ArgumentParser, Namespace
from pathlib import Path


def add_arguments(parser: ArgumentParser) -> None:
    parser.add_argument("run", type=Path, metavar="RUN", help="a run directory")
    parser.add_argument("--seed", type=int, help="seed of the run (default: its first)")
    parser.add_argument("--episode", type=int, default=0, help="number of the final episode (default: 0)")


def run(arguments: Namespace) -> None:
    from bench.replay.film import film

    print(film(arguments.run, arguments.seed, arguments.episode))
