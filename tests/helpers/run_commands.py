"""MkDocs hook: run every `$ command` of a ```console block and show its output below it. A command that fails stops the build.

All commands run in one scratch folder, page after page in the order of the navigation: a page can use the files of an earlier page.
`# exit 1` after a command is the exit code that the page expects. A command that takes longer than TIMEOUT stops the build.
"""

from __future__ import annotations

import os
import re
import shutil
import signal
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

from mkdocs.exceptions import PluginError

BLOCK = re.compile(r"```console\n(.*?)```", re.DOTALL)
MAX_LINES = 40
"""Lines of output that a page shows."""
TIMEOUT = 300
"""Seconds."""

_scratch: list[Path] = []


def on_pre_build(config: Any) -> None:
    _scratch.append(Path(tempfile.mkdtemp(prefix="iwsft-docs-")))


def on_post_build(config: Any) -> None:
    shutil.rmtree(_scratch.pop(), ignore_errors=True)


def on_build_error(error: Exception, **_: Any) -> None:
    while _scratch:
        shutil.rmtree(_scratch.pop(), ignore_errors=True)


def on_page_markdown(markdown: str, page: Any, **_: Any) -> str:
    return BLOCK.sub(lambda block: f"```console\n{run_block(block.group(1), page.file.src_path, _scratch[0])}```", markdown)


def run_block(block: str, page: str, folder: Path) -> str:
    """The commands of a block, run in `folder`, each with its output. Raises PluginError for a line that is no command, and for a command
    that exits with another code than expected."""
    shown = []
    for line in block.splitlines():
        if not line.startswith("$ "):
            raise PluginError(f"{page}: '{line}': a console block holds lines that start with '$ ' only; the build adds their output")
        command, _, expected = line[2:].partition("  # exit ")
        code, output = run(command, folder)
        if code != int(expected or 0):
            reason = f"took longer than {TIMEOUT} s" if code is None else f"exited with {code}"
            raise PluginError(f"{page}: `{command}` {reason}:\n{output[-2000:]}")
        lines = output.replace(str(folder), ".").splitlines()
        more = [f"... ({len(lines) - MAX_LINES} more lines)"] if len(lines) > MAX_LINES else []
        shown += [f"$ {command}", *lines[:MAX_LINES], *more]
    return "\n".join([*shown, ""])


def run(command: str, folder: Path) -> tuple[int | None, str]:
    """Exit code (None after a timeout) and output of a shell command; `python` is this interpreter. A timeout kills all its processes."""
    path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
    process = subprocess.Popen(
        command, shell=True, cwd=folder, env=os.environ | {"PATH": path, "COLUMNS": "110"}, stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT, text=True, start_new_session=True,
    )  # fmt: skip
    try:
        output = process.communicate(timeout=TIMEOUT)[0]
        return process.returncode, output
    except subprocess.TimeoutExpired:
        os.killpg(process.pid, signal.SIGKILL)
        return None, process.communicate()[0]
