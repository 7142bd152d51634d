"""Compare objectives of fine-tuning (SFT, iw-SFT, DFT and others) on a pretrained language model.

Trains each method on verified solutions of a task of reasoning-gym with the same updates and the
same choice of a learning rate; writes rows.csv, leaderboard.csv and table.md. Finished shards (a
method, a learning rate, a seed) are kept: the same command continues a run that was stopped.
--find lists tasks with the share that the model solves; one between 5 and 60 % is useful. Needs the
extra language (docs/language.md).

Example:
  python -m bench language --find
  python -m bench language --task chain_sum --data samples,worked --seeds 3
"""

from __future__ import annotations

from argparse import ArgumentParser, ArgumentTypeError, Namespace
from collections.abc import Callable
from dataclasses import fields
from pathlib import Path
from typing import Any


def add_arguments(parser: ArgumentParser) -> None:
    from bench.language.options import Options

    kinds: dict[str, Callable[[str], Any]] = {
        "data": _names,
        "methods": _names,
        "learning_rates": _numbers,
        "settings": _settings,
        "out": Path,
    }
    for field in fields(Options):
        default = getattr(Options(), field.name)
        shown = ",".join(f"{v:g}" if isinstance(v, float) else v for v in default) if isinstance(default, tuple) else default
        text = field.metadata["meaning"] + (f" ({shown})" if shown else "")
        kind = kinds.get(field.name, type(default))
        parser.add_argument(f"--{field.name.replace('_', '-')}", type=kind, default=default, metavar="X", help=text.replace("%", "%%"))
    parser.add_argument(
        "--find", nargs="?", const="", metavar="A,B", help="only show what the model solves of tasks A and B, or of easy ones"
    )
    parser.add_argument("--no-runs", action="store_true", help="train nothing; tables of the shards that are finished")


def _names(text: str) -> tuple[str, ...]:
    return tuple(name.strip() for name in text.split(",") if name.strip())


def _numbers(text: str) -> tuple[float, ...]:
    try:
        return tuple(map(float, _names(text)))
    except ValueError:
        raise ArgumentTypeError(f"{text}: expected numbers separated by commas") from None


def _settings(text: str) -> dict[str, int]:
    pairs = dict(pair.partition("=")[::2] for pair in _names(text))
    try:
        return {key: int(value) for key, value in pairs.items()}
    except ValueError:
        raise ArgumentTypeError(f"{text}: expected KEY=NUMBER,...") from None


def run(arguments: Namespace) -> None:
    from bench.config.extras import require_extra

    require_extra("language", "language", "transformers", "trl", "reasoning_gym")
    from functools import partial

    from bench.language.comparison import compare, find
    from bench.language.options import Options
    from bench.report.render import aligned

    given: dict[str, Any] = vars(arguments)
    options = Options(**{field.name: given[field.name] for field in fields(Options)})
    say = partial(print, flush=True)  # lines are read while a long run writes its log
    if arguments.find is not None:
        find(options, _names(arguments.find), say)
        return
    print(aligned(compare(options, _command(options), say, not arguments.no_runs)))
    print(f"written to {options.out}")


def _command(options: Any) -> str:
    """The command line of `options`, without values that are the default and without the folder."""
    default, words = type(options)(), ["python -m bench language"]
    for field in fields(options):
        value = getattr(options, field.name)
        if field.name != "out" and value != getattr(default, field.name):
            pairs = [f"{k}={v}" for k, v in value.items()] if isinstance(value, dict) else value
            text = ",".join(f"{v:g}" if isinstance(v, float) else str(v) for v in pairs) if isinstance(pairs, list | tuple) else str(pairs)
            words.append(f"--{field.name.replace('_', '-')} {text}")
    return " ".join(words)
