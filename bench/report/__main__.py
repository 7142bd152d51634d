"""`python -m bench.report results/quick`: figures and report.html from a suite's runs."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from bench.errors import USER_ERRORS
from bench.leaderboard import rebuild
from bench.report.build import write_report


def main() -> None:
    parser = argparse.ArgumentParser(description="Rebuild a suite's tables, figures and report page from its runs.")
    parser.add_argument("folder", type=Path, help="such as results/quick")
    folder = parser.parse_args().folder
    try:
        rebuild(folder)
        print(write_report(folder))
    except (*USER_ERRORS, OSError) as error:
        print(f"error: {error}", file=sys.stderr)
        sys.exit(2)


if __name__ == "__main__":
    main()
