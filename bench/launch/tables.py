"""Tables, figures and report page of a suite, written and printed at the end of a run or sweep."""

from __future__ import annotations

import errno
from contextlib import suppress
from pathlib import Path

from omegaconf import DictConfig

from bench.config.extras import REPORT, missing_package
from bench.config.redact import redact
from bench.launch.session import session


def write_partial_tables() -> None:
    """Write tables for the jobs that finished, even if others failed: Hydra then calls no `on_multirun_end`."""
    if (sweep := session().sweep) is not None:
        with suppress(Exception):  # such as no finished run; the error of the job is raised next
            write_tables(sweep)


def write_tables(config: DictConfig) -> None:
    """Write the tables of the suite, and print table.md; in a folder that is read only, print the one that is there, if any."""
    from bench.report.render import aligned
    from bench.report.suite import TABLES, rebuild  # imports pandas, which delays the start of a command
    from bench.results.protocol import TableOptions

    folder = Path(config.results_dir) / config.suite
    page = missing_package(*REPORT) is None
    try:
        options = TableOptions(config.report.mixed, config.report.published, mix_marked=config.report.mix_marked)
        text = rebuild(folder, options, page, _yardstick() if config.report.yardstick else "")
    except OSError as error:
        if error.errno not in (errno.EROFS, errno.EACCES):
            raise
        found = (folder / "table.md").is_file()
        if found:
            print(aligned((folder / "table.md").read_text()))
        print(f"{folder} cannot be written ({error.strerror}): {'the table is the one that was there' if found else 'it has no table'}")
        return
    print(aligned(text), end="")
    files = [name for name in ("report.html", *TABLES, "figures/") if (folder / name).exists()]
    print(redact(f"\nwritten to {folder}: {', '.join(files)}"))


def _yardstick() -> str:
    from bench.speed.reading import yardstick_line  # loads mujoco

    return yardstick_line()
