"""`python -m bench.report results/quick`: figures and report.html from a suite's runs."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from bench.errors import USER_ERRORS
from bench.report.page.build import write_report
from bench.report.suite import rebuild
from bench.report.wanted import add_flags, options_of


def main() -> None:
    parser = argparse.ArgumentParser(description="Rebuild a suite's tables, figures and report page from its runs.")
    parser.add_argument("folder", type=Path, help="such as results/quick")
    add_flags(parser)
    given = parser.parse_args()
    try:
        rebuild(given.folder, options_of(given))
        print(write_report(given.folder, options_of(given)))
    except (*USER_ERRORS, OSError) as error:
        print(f"error: {error}", file=sys.stderr)
        sys.exit(2)


if __name__ == "__main__":
    main()
