"""Train a behaviour policy of the built-in data again; measure its snapshots and references.

Takes minutes, and for training the extra packages that `make behaviour NAME=hopper` installs.
--measure measures the reference returns of the committed snapshots and needs none of them; --list
prints these returns.

Example:
  python -m bench behaviour hopper
  python -m bench behaviour hopper --measure
"""

from __future__ import annotations

from argparse import ArgumentParser, Namespace
from pathlib import Path

from bench.config.extras import require_extra
from bench.errors import RunError


def add_arguments(parser: ArgumentParser) -> None:
    parser.add_argument(
        "name",
        nargs="?",
        metavar="NAME",
        help="hopper, halfcheetah, walker2d or ant; with --measure also fork, pointmaze-umaze or -medium",
    )
    parser.add_argument("--folder", type=Path, help="folder of the snapshots (default: the package's own, which is then measured)")
    parser.add_argument("--measure", action="store_true", help="measure the reference returns only: the mean action of the best snapshot")
    parser.add_argument("--list", action="store_true", help="print the reference returns of the built-in data")
    parser.add_argument("--steps", type=int, help="environment steps (default: the recorded number)")


def run(arguments: Namespace) -> None:
    from envs.data.references import built_in, built_in_table
    from envs.files import write_json
    from envs.recorded.measure import measure_references, measure_snapshots, write_references
    from envs.recorded.policy import SNAPSHOTS, record_of
    from envs.recorded.train import SETTINGS, Settings, train

    if arguments.list:
        print("\n".join(f"{row['env_id']:20} {built_in(row['env_id'])}" for row in built_in_table()))
        return
    known = sorted(path.stem for path in SNAPSHOTS.glob("*.json")) if arguments.measure else list(SETTINGS)
    if arguments.name not in known:
        raise RunError(f"behaviour {arguments.name or ''}: expected one of {', '.join(known)}")
    if arguments.measure:
        write_references(arguments.name, measure_references(arguments.name))
        return
    require_extra("behaviour", "behaviour", "sbx", "envpool")
    settings = SETTINGS[arguments.name] if arguments.steps is None else Settings(SETTINGS[arguments.name].env, arguments.steps)
    train(arguments.name, settings, arguments.folder or SNAPSHOTS)
    if arguments.folder is None:
        write_json(SNAPSHOTS / f"{arguments.name}.json", record_of(arguments.name) | measure_snapshots(arguments.name))
        write_references(arguments.name, measure_references(arguments.name))
