"""report.html of a suite, from the numbers behind its tables and figures."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import cache
from pathlib import Path

import jinja2
import numpy as np
import pandas as pd
from markupsafe import Markup

from bench.numbers import spell_return, spell_seeds
from bench.report.page.datasets import dataset_cards
from bench.report.page.films import LIMITS, Limits
from bench.report.page.inline import figure_groups, first_figure
from bench.report.page.overview import protocol, warnings
from bench.report.page.runs import run_details
from bench.report.render import html, unbroken
from bench.report.tables import PUBLISHED_WARNING, Table
from bench.results.leaderboard import COLUMNS
from bench.results.names import method_names
from bench.results.runs import Runs
from bench.storage.layout import Row

HERE = Path(__file__).parent
SHOWN = [
    "dataset", "algo", "selection", "actions", "score_mean", "score_ci_low", "score_ci_high", "return_mean", "seeds",
    "eval_episodes", "updates", "levelled_off", "reference", "configs_tried", "chosen_by", "wall_time_s",
    "verifiable",
]  # fmt: skip
assert set(SHOWN) <= set(COLUMNS)


def page_of(
    suite: Path,
    runs: Runs,
    results: Runs,
    board: pd.DataFrame,
    tables: Sequence[Table],
    published: Sequence[Table] = (),
    figures: Mapping[str, str] | None = None,
    drawn: Sequence[str] = (),
    limits: Limits = LIMITS,
    online: Sequence[Table] = (),
) -> str:
    """The page as HTML.

    `runs`: the finished runs of folder `suite`; `results`: the same, pooled; `board`: their leaderboard; `tables`: one for each protocol,
    the largest first; `published`: tables of scores from papers; `figures`: SVGs by name, which show the methods `drawn`; `online`: tables
    of online phases.
    """
    first, details = first_figure(figures or {}), run_details(runs, limits)
    return _template().render(
        suite=suite.name, protocol=protocol(runs, results), warnings=warnings(suite, runs, results),
        tables=[Markup(html(table)) for table in tables], published=[Markup(html(table)) for table in published],
        online=[Markup(html(table)) for table in online],
        published_warning=PUBLISHED_WARNING, references=[table.reference for table in tables], columns=SHOWN, board=_board(board, results),
        opening=figure_groups({first: figures[first]} if figures and first else {}),
        figures=figure_groups({name: svg for name, svg in (figures or {}).items() if name != first}), films=_films(details),
        drawn=_drawn_note(tables, drawn), runs=details, cards=dataset_cards(runs),
        style=Markup((HERE / "style.css").read_text()), script=Markup((HERE / "script.js").read_text()),
    )  # fmt: skip


@cache
def _template() -> jinja2.Template:
    """page.html, compiled."""
    loader = jinja2.FileSystemLoader(HERE)
    environment = jinja2.Environment(loader=loader, autoescape=True, undefined=jinja2.StrictUndefined, trim_blocks=True, lstrip_blocks=True)
    return environment.get_template("page.html")


def _films(details: Sequence[Row]) -> list[Row]:
    """The embedded films of all runs, each with the title of its run."""
    return [{"title": run["title"], "name": film.name, "source": film.source} for run in details for film in run["films"] if film.source]


def _drawn_note(tables: Sequence[Table], drawn: Sequence[str]) -> str:
    """A sentence if figures show fewer methods than the first table; empty otherwise."""
    if not drawn or len(drawn) >= len(tables[0].methods):
        return ""
    return (
        f"{len(drawn)} of {len(tables[0].methods)} methods, chosen with --methods or those with the best mean rank: {', '.join(drawn)}. "
        "python -m bench tables FOLDER --methods A,B shows others."
    )


def _board(board: pd.DataFrame, results: Runs) -> list[list[tuple[str, str]]]:
    """(text, sort key) of every cell of the leaderboard; a method is shown under its name in the tables."""
    records = [record for record, _ in results]
    names = {r["config_hash"]: name for r, name in zip(records, method_names(records), strict=True)}

    def spelled(column: str, value: float) -> str:
        return spell_return(value) if column == "return_mean" else f"{value:.0f}" if column == "wall_time_s" else f"{value:.1f}"

    def cell(column: str, value: object, name: str) -> tuple[str, str]:
        if column in ("dataset", "algo"):
            return Markup(unbroken(name if column == "algo" else str(value))), str(value)
        if column == "seeds":
            return Markup(unbroken(spell_seeds(map(int, str(value).split())))), str(value)
        if isinstance(value, float):
            return ("", "") if np.isnan(value) else (spelled(column, value), repr(value))
        return str(value), str(value)

    hashes = board["config_hash"]
    rows = board[SHOWN].itertuples(index=False)
    return [[cell(c, v, names[h]) for c, v in zip(SHOWN, row, strict=True)] for h, row in zip(hashes, rows, strict=True)]
