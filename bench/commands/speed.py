"""Measure the speed of training and of evaluation beside a plain loop and the machine's limit.

KIND:
  measure     member-updates per second of the suite, the plain loop and the limit (the default)
  scale       cost of an update against members, batch, width, data and method; then the estimate
  evaluation  environment steps per second in threads and processes, beside a loop and physics alone
  online      environment steps and updates per second of the online phase, beside a one-seed loop
  language    updates and generated tokens per second of transformers, beside a one-seed loop
  estimate    hours of the full protocol, from the curves that `scale` wrote
  engines     engines, precisions and members in one process: the first look at a new GPU
  profile     time of an update by operator
  data        seconds and memory of loading a data set

Settings are key=value; an unknown key names the known ones.

Example:
  python -m bench speed
  python -m bench speed measure methods=[iql,bc] members=[1,4] out=results/speed
  python -m bench speed profile algo=iql members=2
"""

from __future__ import annotations

import os
import sys
from argparse import ArgumentParser, Namespace
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from bench.speed.rows import Row


def add_arguments(parser: ArgumentParser) -> None:
    parser.add_argument("arguments", nargs="*", metavar="KIND | KEY=VALUE", help="a kind, then settings")


def run(arguments: Namespace) -> None:
    kinds = {
        "measure": _measure, "scale": _scale, "evaluation": _evaluation, "estimate": _estimate, "engines": _engines, "profile": _profile,
        "data": _data, "online": _online, "language": _language,
    }  # fmt: skip
    words = arguments.arguments
    kind, settings = (words[0], words[1:]) if words and words[0] in kinds else ("measure", words)
    kinds[kind](settings)


def _say(line: str) -> None:
    print(line, file=sys.stderr, flush=True)


def _report(machine: str, table: Callable[[list[Row]], str], path: Path, columns: Sequence[str]) -> None:
    """Print the table of the rows in `path`: what it shows is what the file holds."""
    from bench.speed.rows import read_csv

    print(f"{machine}\n\n{table(read_csv(path, columns))}\n\n{path}")


def _measure(settings: Sequence[str]) -> None:
    """Write speed-DEVICE.csv, rounds-DEVICE.csv and a figure; print the table."""
    from bench.speed.figure import save, speed_figure
    from bench.speed.machine import describe
    from bench.speed.measure import measure, table
    from bench.speed.options import MeasureOptions, parse
    from bench.speed.rows import COLUMNS, ROUND_COLUMNS, write_csv

    options = parse(MeasureOptions, settings)
    machine = describe(options.device, options.all_threads)
    _say(machine)
    rows, rounds = measure(options, _say)
    path = options.folder / f"speed-{options.device}.csv"
    write_csv(path, rows, COLUMNS)
    write_csv(options.folder / f"rounds-{options.device}.csv", rounds, ROUND_COLUMNS)
    save(speed_figure(rows, machine.partition(", load")[0]), options.folder, f"speed-{options.device}")
    _report(machine, table, path, COLUMNS)


def _scale(settings: Sequence[str]) -> None:
    """Write scale-DEVICE.csv, a figure and the estimate; print the table."""
    from bench.speed.estimate import write_estimate
    from bench.speed.figure import CURVES, save, scale_figure
    from bench.speed.machine import describe
    from bench.speed.options import ScaleOptions, parse
    from bench.speed.rows import write_csv
    from bench.speed.scale import COLUMNS, scale, table

    options = parse(ScaleOptions, settings)
    machine = describe(options.device, options.all_threads)
    _say(machine)
    rows = scale(options, _say)
    path = options.folder / f"scale-{options.device}.csv"
    write_csv(path, rows, COLUMNS)
    if any(r["curve"] in CURVES for r in rows):
        save(scale_figure(rows, machine.partition(", load")[0]), options.folder, f"scale-{options.device}")
    _report(machine, table, path, COLUMNS)
    print(write_estimate(options.folder))


def _evaluation(settings: Sequence[str]) -> None:
    """Write evaluation-cpu.csv and a figure; print the table."""
    from bench.speed.evaluation import COLUMNS, measure_evaluation, table
    from bench.speed.figure import evaluation_figure, save
    from bench.speed.machine import describe
    from bench.speed.options import EvaluationOptions, parse
    from bench.speed.rows import write_csv

    options = parse(EvaluationOptions, settings)
    machine = describe("cpu", options.all_threads)
    _say(machine)
    path = options.folder / "evaluation-cpu.csv"
    rows = measure_evaluation(options, _say, lambda rows: write_csv(path, rows, COLUMNS))
    save(evaluation_figure(rows, machine.partition(", load")[0]), options.folder, "evaluation-cpu")
    _report(machine, table, path, COLUMNS)


def _online(settings: Sequence[str]) -> None:
    """Write online-cpu.csv; print the table."""
    from bench.speed.machine import describe
    from bench.speed.online import COLUMNS, measure_online, table
    from bench.speed.options import OnlineOptions, parse
    from bench.speed.rows import write_csv

    options = parse(OnlineOptions, settings)
    machine = describe("cpu", options.all_threads)
    _say(machine)
    rows = measure_online(options, _say)
    path = options.folder / "online-cpu.csv"
    write_csv(path, rows, COLUMNS)
    _report(machine, table, path, COLUMNS)


def _language(settings: Sequence[str]) -> None:
    """Write language-DEVICE.csv; print the table."""
    from bench.speed.language import COLUMNS, measure_language, table
    from bench.speed.machine import describe
    from bench.speed.options import LanguageOptions, parse
    from bench.speed.rows import write_csv

    options = parse(LanguageOptions, settings)
    machine = describe(options.device, options.all_threads)
    _say(machine)
    rows = measure_language(options, _say)
    path = options.folder / f"language-{options.device}.csv"
    write_csv(path, rows, COLUMNS)
    _report(machine, table, path, COLUMNS)


def _estimate(settings: Sequence[str]) -> None:
    from bench.speed.estimate import write_estimate
    from bench.speed.options import EstimateOptions, parse

    print(write_estimate(parse(EstimateOptions, settings).folder).read_text(), end="")


def _engines(settings: Sequence[str]) -> None:
    """Write engines-DEVICE.csv; print the table."""
    from bench.speed.engines import COLUMNS, measure_engines, table
    from bench.speed.machine import describe
    from bench.speed.options import EngineOptions, parse
    from bench.speed.rows import write_csv

    options = parse(EngineOptions, settings)
    machine = describe(options.device, options.all_threads)
    _say(machine)
    rows = measure_engines(options, _say)
    path = options.folder / f"engines-{options.device}.csv"
    write_csv(path, rows, COLUMNS)
    _report(machine, table, path, COLUMNS)


def _profile(settings: Sequence[str]) -> None:
    os.environ.setdefault("KINETO_LOG_LEVEL", "99")  # read when torch is loaded: no lines of its profiler on stderr
    from bench.speed.machine import describe
    from bench.speed.options import ProfileOptions, parse
    from bench.speed.profile import profile

    options = parse(ProfileOptions, settings)
    print(f"{describe(options.device, options.all_threads)}\n\n{profile(options)}")


def _data(settings: Sequence[str]) -> None:
    from bench.speed.loading import loading_cost
    from bench.speed.options import DataOptions, parse

    options = parse(DataOptions, settings)
    print(loading_cost(options.steps, options.length))
