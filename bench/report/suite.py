"""Tables, leaderboard, figures and page of a suite, computed from its runs, which are read once."""

from __future__ import annotations

import sys
import time
from collections.abc import Sequence
from pathlib import Path

import pandas as pd

from bench.config.extras import REPORT, missing_package
from bench.report.costs import costs_md, kept_yardstick
from bench.report.online import online_table, online_tables
from bench.report.render import latex, long_csv, markdown
from bench.report.tables import PUBLISHED_WARNING, Table, published_tables, table_of
from bench.results import published
from bench.results.csv_files import to_csv
from bench.results.grid import Grid, grids
from bench.results.leaderboard import COLUMNS, board_csv, board_of, scores_csv
from bench.results.pooling import pooled
from bench.results.protocol import TableOptions, measured_runs, refuse_mixed
from bench.results.runs import LeftOut, Runs, no_runs, read_suite, report_left_out, tables_lock
from envs.files import remove_scratch, write_atomic
from envs.untrusted import refuse_link

DEFAULT = TableOptions()
FOLDERS = (".cache", "figures")  # of a suite, beside its runs and locks
TABLES = ("table.md", "table.tex", "table.csv", "leaderboard.csv", "scores.csv", "costs.md")


def rebuild(suite: Path, options: TableOptions = DEFAULT, page: bool = True, yardstick: str = "") -> str:
    """Write tables, figures and report.html of folder `suite` from its runs; return the text of table.md.

    Without `page`, neither figures nor report.html are written. yardstick: a line for costs.md, by default the one that it has. One process
    at a time writes, so that the files belong together and the last process to finish leaves those of all runs. Raises RunError, before
    anything is written, if there is no finished run, and if runs follow several protocols unless `options` or the configuration of a run
    sets `mixed`.
    """
    if not (suite / "runs").is_dir():  # else the lock would make the folder
        raise no_runs(suite)
    for name in FOLDERS:
        refuse_link(suite / name)
    with tables_lock(suite).held():
        started = time.perf_counter()
        remove_scratch(suite)
        runs, left_out = read_suite(suite, remember=True)
        report_left_out(left_out)
        records = [record for record, _ in runs]
        options = options.of_runs(records)
        if not options.mixed:
            remedy = f"python -m bench tables {suite} --mixed writes one table per protocol; suite=NAME puts other runs in another folder"
            refuse_mixed(str(suite), measured_runs(records), remedy)
        results = pooled(runs)
        groups = grids(results, mix_marked=options.mix_marked)
        tables, board = _marked([table_of(grid) for grid in groups], left_out), board_of(suite, results, options.root)
        from_papers = published.rows(sorted({r["dataset"] for r in records})) if options.published else []
        papers = published_tables(from_papers)
        numbers = online_table(results)
        online = online_tables(numbers)
        text = _markdown(tables, papers, online)
        every = [*tables, *online]
        files = {
            "table.md": text, "table.tex": latex(every), "table.csv": long_csv(every), "scores.csv": scores_csv(runs),
            "leaderboard.csv": board_csv(pd.DataFrame([*board.to_dict("records"), *from_papers], columns=COLUMNS)),
        }  # fmt: skip
        if online:
            files["online.csv"] = to_csv(numbers)
        for name, content in files.items():
            write_atomic(suite / name, content)
        seconds = {"tables": time.perf_counter() - started}
        if page:
            seconds |= _write_page(suite, runs, results, groups[0], board, tables, papers, online, options)
        write_atomic(suite / "costs.md", costs_md(results, seconds, yardstick or kept_yardstick(suite)))
        return text


def _marked(tables: list[Table], left_out: Sequence[LeftOut]) -> list[Table]:
    """`tables` with a note below the first one for each run that cannot be read."""
    notes = [f"Left out: {left.reason}" for left in left_out]
    return [tables[0]._replace(notes=[*tables[0].notes, *notes]), *tables[1:]]


def _write_page(
    suite: Path,
    runs: Runs,
    results: Runs,
    grid: Grid,
    board: pd.DataFrame,
    tables: list[Table],
    papers: list[Table],
    online: list[Table],
    options: TableOptions,
) -> dict[str, float]:
    """Write figures/ and report.html; returns the seconds of both. Without the packages that draw them, say so in a line instead."""
    started = time.perf_counter()
    if (name := missing_package(*REPORT)) is not None:
        print(f"no figures and no report.html: {name} is not installed; pip install 'iwsft-bench[report]'", file=sys.stderr)
        return {}
    from bench.report.figures.draw import draw, drawn_methods
    from bench.report.page.build import page_of

    figures = draw(suite, grid, options.methods, options.pdf)
    methods = drawn_methods(grid, options.methods)
    drawn = time.perf_counter()
    write_atomic(suite / "report.html", page_of(suite, runs, results, board, tables, papers, figures, methods, online=online))
    return {"figures": drawn - started, "page": time.perf_counter() - drawn}


def _markdown(tables: list[Table], papers: list[Table], online: list[Table]) -> str:
    """table.md: a table for each protocol, then those of papers under a warning, then those of online phases. A note stands below the
    first table that has it."""
    seen: set[str] = set()
    parts = []
    for table in tables:
        parts.append(markdown(table._replace(notes=[note for note in table.notes if note not in seen])))
        seen.update(table.notes)
    if papers:
        parts += [f"## Published\n\n{PUBLISHED_WARNING}\n", *(markdown(table) for table in papers)]
    if online:
        parts += ["## Online\n", *(markdown(table) for table in online)]
    return "\n".join(parts)
