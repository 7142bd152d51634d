"""Convert a D4RL file (HDF5) into a Minari data set.

--list prints every D4RL data set with its address.

Example:
  python -m bench convert hopper_medium_replay-v2.hdf5 d4rl/hopper-medium-replay-v2
  python -m bench convert mine.hdf5 mine/hopper-v0 --env Hopper-v5
"""

from __future__ import annotations

from argparse import ArgumentParser, Namespace
from pathlib import Path

from bench.errors import RunError


def add_arguments(parser: ArgumentParser) -> None:
    parser.add_argument("file", nargs="?", type=Path, metavar="FILE.hdf5")
    parser.add_argument("dataset", nargs="?", metavar="ID", help="id of the new data set, such as d4rl/hopper-medium-replay-v2")
    parser.add_argument("--env", help="Gymnasium environment, if the id names none of D4RL's")
    parser.add_argument("--trailing", choices=("drop", "keep"), default="drop", help="steps after the last episode end (default: drop)")
    parser.add_argument(
        "--breaks", choices=("refuse", "cut"), default="refuse", help="steps whose next_observations do not follow (default: refuse)"
    )
    parser.add_argument("--list", action="store_true", help="print every D4RL data set with its address")


def run(arguments: Namespace) -> None:
    from envs.readers.d4rl import addresses, convert

    if arguments.list:
        print("\n".join(f"d4rl/{name}  {url}" for name, url in addresses().items()))
        return
    if arguments.file is None or arguments.dataset is None:
        raise RunError("convert: expected FILE.hdf5 and ID; see python -m bench convert --help")
    print(convert(arguments.file, arguments.dataset, arguments.trailing, arguments.breaks, arguments.env))
