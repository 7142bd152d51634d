"""What tables are to hold beside the runs of one protocol: it has to be asked for."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

from bench.errors import RunError
from bench.report.table import split
from bench.results import published
from bench.storage.rundir import Row


class TableOptions(NamedTuple):
    """Asked for on the command line; what a run's own configuration asks for (report.mixed=true, report.published=true) is added to it.

    mixed: runs that were not measured alike, a table each. published: scores from papers, in tables of their own. root: folder whose
    suites all count for configs_tried; the suite alone if None.
    """

    mixed: bool = False
    published: bool = False
    root: Path | None = None


NOTHING = TableOptions()


def refuse_mixed(folder: Path, records: Sequence[Row], wanted: TableOptions) -> None:
    """Raise RunError, naming the groups, if `records` do not share a table and nobody asked for one each."""
    groups = split(records)
    if len(groups) < 2 or wanted.mixed or any(r.get("mixed") for r in records):
        return
    ways = "; ".join(map(_spell, groups))
    raise RunError(
        f"{folder}: its runs were measured in {len(groups)} ways ({ways}), which share no table. The runs are kept: "
        f"python -m bench tables {folder} --mixed makes a table each; suite=NAME gives others a folder of their own"
    )


def _spell(group: Sequence[Row]) -> str:
    family = next((r["reference"]["name"] for r in group if r["reference"] is not None), "none")
    algos = sorted({r["algo"] for r in group})
    named = ", ".join(algos[:3]) + (f" and {len(algos) - 3} more" if len(algos) > 3 else "")
    return f"reference set {family}, {group[0]['final_episodes']} final episodes: {named}"


def published_rows(records: Sequence[Row], wanted: TableOptions) -> list[Row]:
    """Published scores on the tasks of `records`, if somebody asked for them."""
    asked = wanted.published or any(r.get("published") for r in records)
    return published.rows(sorted({r["dataset"] for r in records})) if asked else []
