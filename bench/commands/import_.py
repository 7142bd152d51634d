"""Write a Minari data set from your own arrays: a .npz or .csv file.

Arrays of a .npz file: observations, actions, rewards, terminations, truncations (or D4RL's
terminals, timeouts); optional next_observations. Columns of a .csv file, a line per step: obs_0,
obs_1, ..., action_0, ... (or action, if discrete), reward, terminated, truncated; optional
next_obs_0, ... and episode. docs/data.md shows both.

Example:
  python -m bench import mine.npz mine/hopper-v0 --env Hopper-v5
  python -m bench import mine.csv mine/hopper-v1 --env Hopper-v5
"""

from __future__ import annotations

from argparse import ArgumentParser, Namespace
from pathlib import Path


def add_arguments(parser: ArgumentParser) -> None:
    parser.add_argument("file", type=Path, metavar="FILE", help="a .npz or .csv file")
    parser.add_argument("dataset", metavar="ID", help="id of the new data set, such as mine/hopper-v0")
    parser.add_argument("--env", help="Gymnasium environment, such as Hopper-v5; without it give env=ID, or env=none, when you train")
    parser.add_argument("--clip", action="store_true", help="clip actions to the environment's bounds instead of refusing those outside")
    parser.add_argument("--overwrite", action="store_true", help="overwrite the data set if it exists")


def run(arguments: Namespace) -> None:
    from envs.readers.array_files import data_from_file

    print(data_from_file(arguments.file, arguments.dataset, arguments.env, clip=arguments.clip, overwrite=arguments.overwrite))
