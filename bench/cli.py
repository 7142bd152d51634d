"""One command, `python -m bench` (also installed as `iwsft-bench`): Hydra's arguments train, subcommands do everything else.

Subcommands are the files of bench/commands/, imported on demand. Exit codes are in bench/errors.py.
"""

from __future__ import annotations

import ast
import difflib
import keyword
import os
import platform
import shlex
import signal
import sys
import time
from argparse import ArgumentParser, HelpFormatter, RawDescriptionHelpFormatter
from collections.abc import Callable, Collection, Sequence
from importlib import import_module
from importlib.metadata import PackageNotFoundError, version
from importlib.resources import files
from typing import Any, NoReturn

from bench import exits
from bench.errors import EXIT_INTERRUPTED, RunError
from bench.exits import Terminated
from bench.output import outlive_readers
from bench.training.process import prepare_process

HELP = """\
Train, evaluate and compare methods of offline reinforcement learning and imitation learning.

Usage:
  python -m bench [KEY=VALUE ...]              train one run
  python -m bench -m [KEY=VALUE,VALUE ...]     train every combination of the values
  python -m bench COMMAND ...                  one of the commands below

Commands (python -m bench COMMAND --help):
{commands}

Examples:
  python -m bench algo=iw_sft_q dataset=iwsft/hopper/medium-replay-v0 seeds=3
  python -m bench -m algo=bc,sft,iw_sft dataset=iwsft/walker2d/medium-v0
  python -m bench suite=quick
  python -m bench tables results/quick

Choices (GROUP=NAME):
{groups}

Keys (KEY=DEFAULT; in quotes where a shell, such as zsh, reads brackets itself).
python -m bench algo=NAME --help shows those of a method:
{keys}
"""


def main(blocked: Collection[signal.Signals] = ()) -> None:
    """Run `python -m bench` and exit with its code. blocked: signals that are delivered when the command can answer them."""
    exits.exit_on_signals()
    outlive_readers()
    prepare_process()  # before torch is imported
    code = run(sys.argv[1:], lambda: signal.pthread_sigmask(signal.SIG_UNBLOCK, blocked))
    exec("pass")  # after a KeyboardInterrupt that passed through an exec(), as imports have, Python would exit by SIGINT
    sys.exit(code)


def run(arguments: Sequence[str], begin: Callable[[], Any] = lambda: None) -> int:
    """Call `begin`, then run the command line `arguments`; returns the exit code (bench/errors.py)."""
    wants_traceback = os.environ.get("HYDRA_FULL_ERROR") == "1"
    try:
        begin()
        code = dispatch(list(arguments))
    except Terminated as signalled:
        if not signalled.saved:
            print(exits.line_of(signalled.number), file=sys.stderr)
        return exits.code_of(signalled.number)
    except KeyboardInterrupt:
        print(exits.line_of(signal.SIGINT), file=sys.stderr)
        return EXIT_INTERRUPTED
    except SystemExit as stopped:  # a mistake found within Hydra
        code = stopped.code if isinstance(stopped.code, int) else 0
    except Exception as error:
        code = 1 if exits.leaving() else _report(error, wants_traceback)
    if (number := exits.leaving()) is not None:  # its exception was lost, which may be the cause of any other
        print(exits.line_of(number), file=sys.stderr)
        return exits.code_of(number)
    return code


def _report(error: Exception, wants_traceback: bool) -> int:
    from bench.config.mistakes import report

    return report(error, wants_traceback)


def commands() -> dict[str, str]:
    """The subcommands by name, each with the first paragraph of its help."""
    found = {}
    for file in sorted(files("bench.commands").iterdir(), key=lambda f: f.name):
        if file.name.endswith(".py") and file.name != "__init__.py":
            doc = ast.get_docstring(ast.parse(file.read_text())) or ""
            found[file.name.removesuffix(".py").rstrip("_")] = doc.partition("\n\n")[0].replace("\n", " ")
    return found


def help_text() -> str:
    """The text of `python -m bench --help`."""
    from bench.config.help import entry, groups, keys

    listed = "\n".join(entry(f"  {name}", line, 13) for name, line in commands().items())
    return HELP.format(commands=listed, groups=groups(), keys=keys())


def settings_text(arguments: Sequence[str]) -> str:
    """The text of `python -m bench KEY=VALUE ... --help`: every key of that run with its value and meaning."""
    from bench.config.compose import compose
    from bench.config.help import settings

    given = [a for a in arguments if not a.startswith("-")]
    command = shlex.join(["python", "-m", "bench", *given])
    return f"Keys of {command}, their values and meaning:\n\n{settings(compose(given))}\n\npython -m bench --help lists all choices.\n"


def version_text() -> str:
    """This program's version and revision, and those of Python and torch."""
    from envs.revision import code_revision

    def installed(package: str) -> str:
        try:
            return version(package)
        except PackageNotFoundError:
            return "not installed"

    own = f"iwsft-bench {installed('iwsft-bench')}, revision {code_revision()}"
    return f"{own}, Python {platform.python_version()}, torch {installed('torch')}"


def dispatch(arguments: list[str]) -> int:
    if arguments in (["--help"], ["-h"]):
        print(help_text(), end="")
        return 0
    if arguments in (["--version"], ["-V"]):
        print(version_text())
        return 0
    arguments = _study(arguments)
    first = arguments[0] if arguments else ""
    if not first or first[0] in "-+~" or "=" in first:
        if {"--help", "-h"}.intersection(arguments):
            print(settings_text(arguments), end="")
            return 0
        started = time.perf_counter()
        with exits.importing():
            from bench.launch.train import train
        train(arguments, time.perf_counter() - started)
        return 0
    known = commands()
    if first not in known:
        near = difflib.get_close_matches(first, known, 3, 0.5)
        hint = f"; near names: {', '.join(near)}" if near else ""
        raise RunError(f"no command '{first}'{hint}; python -m bench --help lists commands and keys, a setting is KEY=VALUE")
    return _run_command(first, arguments[1:])


def _study(arguments: list[str]) -> list[str]:
    """The arguments with `study=NAME` in the form of a command, `study NAME`."""
    named = next((a for a in arguments if a.startswith("study=")), None)
    if named is None:
        return arguments
    return ["study", named.removeprefix("study="), *(a for a in arguments if a is not named)]


def _run_command(name: str, arguments: list[str]) -> int:
    with exits.importing():
        module = import_module(f"bench.commands.{name}{'_' if keyword.iskeyword(name) else ''}")
    parser = _Parser(prog=f"python -m bench {name}", description=module.__doc__, formatter_class=_format)
    module.add_arguments(parser)
    return module.run(parser.parse_args(arguments)) or 0


class _Parser(ArgumentParser):
    """A parser whose mistakes are one line."""

    def error(self, message: str) -> NoReturn:
        raise RunError(f"{message}; see {self.prog} --help")


def _format(prog: str) -> HelpFormatter:
    return RawDescriptionHelpFormatter(prog, width=100)
