"""A user's mistake in one line: the key or file, what was given, what was expected, near names."""

from __future__ import annotations

import errno
import re
import sys
import traceback
from collections.abc import Iterator
from contextlib import contextmanager

from hydra.errors import HydraException
from omegaconf.errors import OmegaConfBaseException

from bench.config.expected import expected
from bench.config.redact import redact
from bench.errors import EXIT_MISTAKE, USER_ERRORS
from envs.untrusted import clean

MISTAKES = (*USER_ERRORS, OSError, HydraException, OmegaConfBaseException)
"""Errors that a user can correct; any other error is a defect of this program and shows its traceback."""
LINE = 4000  # characters of an error line, which may quote a file
REMEDIES = dict.fromkeys((errno.ENOSPC, errno.EDQUOT), "free space, or choose another folder")
REMEDIES |= dict.fromkeys((errno.EACCES, errno.EPERM, errno.EROFS), "choose another folder")


def report(error: Exception, wants_traceback: bool = False) -> int:
    """Print a mistake in one line, or the traceback of a defect (or if `wants_traceback`); returns the exit code."""
    sys.stdout.flush()  # the error comes last, also where both go to one file
    if is_mistake(error) and not wants_traceback:
        print(clean(redact(f"error: {explain(error)}"), LINE), file=sys.stderr)
        return EXIT_MISTAKE
    print(redact("".join(traceback.format_exception(error))), end="", file=sys.stderr)
    return 1


def is_mistake(error: Exception) -> bool:
    """True for an error that a user can correct: one of MISTAKES, but for an OSError of no system call, which code raised by hand."""
    return isinstance(error, MISTAKES) and not (type(error) is OSError and error.errno is None)


@contextmanager
def exit_on_error() -> Iterator[None]:
    """Wrap code that Hydra calls: report an error and exit, since Hydra adds lines to errors of jobs and turns those of callbacks into
    warnings."""
    try:
        yield
    except Exception as error:
        sys.exit(report(error))


def explain(error: BaseException) -> str:
    """The one-line message of `error`, one of MISTAKES."""
    if isinstance(error, USER_ERRORS):
        return str(error)
    if isinstance(error, ConnectionError) and error.filename is None:  # of the network, not of a file
        return " ".join(str(error).split()) or type(error).__name__
    if isinstance(error, OSError) and not isinstance(error, HydraException):  # Hydra has an error that is an OSError, too
        remedy = REMEDIES.get(error.errno or 0)
        return f"{error.filename or 'file system'}: {error.strerror or error}{f'; {remedy}' if remedy else ''}"
    from bench.config.keys import near_names, unknown_key  # imports torch

    text = "\n".join(str(e) for e in (error, error.__cause__) if e)
    if missing := re.search(r"Could not find '([\w/]+)/([^'/]*)'", text):
        group, name = missing.groups()
        options = sorted(set(re.findall(r"^\t([a-z0-9][\w-]*)$", text, re.MULTILINE)))
        return f"{group}={name}: no such {group}{near_names(name, options)}; there are {', '.join(options)}"
    if unknown := re.search(r"Key '([^']+)' (?:is not in struct|not in '\w+')(?:.*?full_key: (\S+))?", text, re.DOTALL):
        return unknown_key(unknown.group(2) or unknown.group(1))
    if sweep := re.search(r"Ambiguous value for argument '(.+?)'\s*1\. To use it as a list", text, re.DOTALL):
        return _sweep(sweep.group(1))
    if merging := re.search(r"Error merging override (.+?)(?:\n|$)", text):
        return expected(text, merging.group(1).strip())
    return " ".join(line.strip() for line in text.splitlines()[:2] if line.strip())


def _sweep(given: str) -> str:
    """The line for several values without -m, where Hydra advises a list, which most keys do not take."""
    from bench.config.keys import takes_a_list

    key, _, values = given.partition("=")
    one = f"; one run with this list is '{key}=[{values}]'" if takes_a_list(key) else ""
    return f"{given}: several values are a sweep, a run for each: python -m bench -m {given}{one}"
