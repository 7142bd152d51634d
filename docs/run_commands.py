"""mkdocs hook: runs every `$ command` of ```console blocks and puts its output below it. A command that fails stops the build.

All commands of the site run in one scratch folder, page after page in the order of the navigation, so that a page can use what an
earlier one made. `# exit 1` behind a command says that it exits so. One that takes longer than LONGEST stops the build, too.
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
LINES = 40  # of output that a page shows
LONGEST = 300  # seconds that a command may take
_scratch: list[Path] = []


def on_pre_build(config: Any) -> None:
    _scratch.append(Path(tempfile.mkdtemp(prefix="iwsft-docs-")))


def on_post_build(config: Any) -> None:
    shutil.rmtree(_scratch.pop(), ignore_errors=True)


def on_build_error(error: Exception, **_: Any) -> None:
    while _scratch:
        shutil.rmtree(_scratch.pop(), ignore_errors=True)


def on_page_markdown(markdown: str, page: Any, **_: Any) -> str:
    return BLOCK.sub(lambda block: f"```console\n{_run(block.group(1), page.file.src_path)}```", markdown)


def _run(block: str, page: str) -> str:
    shown = []
    environment = os.environ | {"PATH": f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}", "COLUMNS": "110"}
    for line in block.splitlines():
        if not line.startswith("$ "):
            raise PluginError(f"{page}: '{line}' in a console block: only commands stand there, their output is added")
        command, _, expected = line[2:].partition("  # exit ")
        code, said = _outcome(command, environment)
        if code != int(expected or 0):
            how = f"took longer than {LONGEST} s" if code is None else f"exited with {code}"
            raise PluginError(f"{page}: `{command}` {how}:\n{said[-2000:]}")
        output = said.replace(str(_scratch[0]), ".").splitlines()
        shown += [f"$ {command}", *output[:LINES], *([f"... ({len(output) - LINES} more lines)"] if len(output) > LINES else [])]
    return "\n".join([*shown, ""])


def _outcome(command: str, environment: dict[str, str]) -> tuple[int | None, str]:
    """A command's exit code, None if it took too long, and what it said. Processes that it started end with it then."""
    process = subprocess.Popen(
        command, shell=True, cwd=_scratch[0], env=environment, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
        start_new_session=True,
    )  # fmt: skip
    try:
        said = process.communicate(timeout=LONGEST)[0]
        return process.returncode, said
    except subprocess.TimeoutExpired:
        os.killpg(process.pid, signal.SIGKILL)
        return None, process.communicate()[0]
