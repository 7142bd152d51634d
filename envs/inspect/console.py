"""Facts of a data set, printed."""

from __future__ import annotations

import sys

from rich.console import Console
from rich.table import Table

from envs.inspect.facts import Facts


def show(facts: Facts) -> None:
    """Print the facts and flags."""
    console = Console(highlight=False, markup=False, width=None if sys.stdout.isatty() else 160)
    console.print(facts.dataset, style="bold")
    table = Table(show_header=False, box=None, padding=(0, 2, 0, 0))
    for section, rows in facts.sections.items():
        for k, (name, value) in enumerate(rows):
            table.add_row(section if k == 0 else "", name, value)
    console.print(table)
    for flag in facts.flags:
        console.print(f"! {flag}")
    if not facts.flags:
        console.print("nothing found that will hurt training")
