"""Train a behaviour policy of the built-in data again, and measure its snapshots.

Takes minutes, and the extra packages that `make behaviour NAME=hopper` installs.

Example:
  python -m bench behaviour hopper
"""

from __future__ import annotations

from argparse import ArgumentParser, Namespace
from pathlib import Path

from bench.errors import RunError


def add_arguments(parser: ArgumentParser) -> None:
    parser.add_argument("name", metavar="NAME", help="hopper, halfcheetah, walker2d or ant")
    parser.add_argument("--folder", type=Path, help="folder of the snapshots (default: the package's own, which is then measured)")
    parser.add_argument("--steps", type=int, help="environment steps (default: the recorded number)")


def run(arguments: Namespace) -> None:
    from bench.config.extras import require_extra

    require_extra("behaviour", "behaviour", "sbx", "envpool")
    from envs.files import write_json
    from envs.recorded.measure import measure
    from envs.recorded.policy import SNAPSHOTS
    from envs.recorded.train import SETTINGS, Settings, train

    if arguments.name not in SETTINGS:
        raise RunError(f"behaviour {arguments.name}: expected one of {', '.join(SETTINGS)}")
    settings = SETTINGS[arguments.name] if arguments.steps is None else Settings(SETTINGS[arguments.name].env, arguments.steps)
    train(arguments.name, settings, arguments.folder or SNAPSHOTS)
    if arguments.folder is None:
        write_json(SNAPSHOTS / f"{arguments.name}.json", measure(arguments.name))
