"""`python -m bench.speed [measure | scale | estimate | profile | loggers] [key=value ...]`"""

from __future__ import annotations

import sys
from dataclasses import fields

from bench.config.mistakes import MISTAKES, stop
from bench.speed.machine import describe
from bench.speed.options import EstimateOptions, LoggerOptions, MeasureOptions, ProfileOptions, ScaleOptions, parse


def say(line: str) -> None:
    print(line, file=sys.stderr, flush=True)


def measure(arguments: list[str]) -> None:
    """Suite, yardstick and limit side by side: speed-DEVICE.csv, rounds-DEVICE.csv, a figure and a table."""
    from bench.speed.figure import save, speed_figure
    from bench.speed.measure import measure, table
    from bench.speed.rows import COLUMNS, ROUND_COLUMNS, write_csv

    options = parse(MeasureOptions, arguments)
    machine = describe(options.device, options.all_threads)
    say(machine)
    rows, rounds = measure(options, say)
    write_csv(options.folder / f"speed-{options.device}.csv", rows, COLUMNS)
    write_csv(options.folder / f"rounds-{options.device}.csv", rounds, ROUND_COLUMNS)
    save(speed_figure(rows, machine.partition(", load")[0]), options.folder, f"speed-{options.device}")
    print(f"{machine}\n\n{table(rows)}\n\n{options.folder}/speed-{options.device}.csv")


def scale(arguments: list[str]) -> None:
    """Cost against members, batch, width, data and method: scale-DEVICE.csv and a figure; then the estimate."""
    from bench.speed.estimate import write_estimate
    from bench.speed.figure import CURVES, save, scale_figure
    from bench.speed.rows import write_csv
    from bench.speed.scale import COLUMNS, scale, table

    options = parse(ScaleOptions, arguments)
    machine = describe(options.device, options.all_threads)
    say(machine)
    rows = scale(options, say)
    write_csv(options.folder / f"scale-{options.device}.csv", rows, COLUMNS)
    if any(r["curve"] in CURVES for r in rows):
        save(scale_figure(rows, machine.partition(", load")[0]), options.folder, f"scale-{options.device}")
    print(f"{machine}\n\n{table(rows)}\n\n{options.folder}/scale-{options.device}.csv")
    print(write_estimate(options.folder))


def estimate(arguments: list[str]) -> None:
    """The full protocol's cost from the curves that are there: estimate.md."""
    from bench.speed.estimate import write_estimate

    print(write_estimate(parse(EstimateOptions, arguments).folder).read_text(), end="")


def profile(arguments: list[str]) -> None:
    """Where an update's time goes."""
    from bench.speed.profile import profile

    options = parse(ProfileOptions, arguments)
    print(f"{describe(options.device, options.all_threads)}\n\n{profile(options)}")


def loggers(arguments: list[str]) -> None:
    """What logging costs a run."""
    from bench.speed.loggers import loggers

    options = parse(LoggerOptions, arguments)
    print(f"{describe(options.device, options.all_threads)}\n\n{loggers(options, say)}")


COMMANDS = {
    "measure": (measure, MeasureOptions), "scale": (scale, ScaleOptions), "estimate": (estimate, EstimateOptions),
    "profile": (profile, ProfileOptions), "loggers": (loggers, LoggerOptions),
}  # fmt: skip


def usage() -> str:
    """The commands and their keys."""
    lines = [f"{__doc__}", ""]
    for name, (command, options) in COMMANDS.items():
        keys = " ".join(f.name for f in fields(options))
        lines += [f"{name}: {command.__doc__}", f"    keys: {keys}"]
    return "\n".join(lines)


def main() -> None:
    """Exit code 2 for a user's mistake."""
    arguments = sys.argv[1:]
    if {"-h", "--help"} & set(arguments):
        print(usage())
        return
    name = arguments.pop(0) if arguments and arguments[0] in COMMANDS else "measure"
    try:
        COMMANDS[name][0](arguments)
    except MISTAKES as error:
        stop(error)
    except KeyboardInterrupt:
        say("interrupted; nothing was written")
        sys.exit(130)


if __name__ == "__main__":
    main()
