"""The footnotes on rows that were not trained long enough, or of which that cannot be told."""

from __future__ import annotations

from collections.abc import Sequence

from bench.results.grid import Grid
from bench.results.levelling import FEW_UPDATES, RISES, SYMBOLS, levelled_off
from bench.results.names import in_order

MEANINGS = {
    RISES: (
        f"{SYMBOLS[RISES]} rises: the last quarter of the updates scores above the quarter before it (one-sided paired t-test over seeds, "
        "level 0.05; docs/statistics.md), so that more updates would score higher: "
    ),
    FEW_UPDATES: f"{SYMBOLS[FEW_UPDATES]} few updates: fewer than the paper's, for the method or for the pi_ref that it starts from: ",
}
UNJUDGED = "Not judged whether more updates would score higher, for want of evaluations or of seeds that agree (docs/statistics.md): "
APART = "No average, rank or bold mark covers rows with and without these marks; such an average is left out (--mix-marked joins them)."
ALL = "All rows are marked: averages, ranks and bold are among marked rows."
JOINED = "Averages, ranks and bold cover marked and unmarked rows together, as report.mix_marked or --mix-marked asks."


def training_notes(grid: Grid) -> list[str]:
    """One line for each mark in `grid`, what the marks are kept apart from, and the rows that could not be judged."""
    played = {key: record for key, record in grid.records.items() if record["final_episodes"]}
    found = {mark: [key for key in played if mark in grid.training_marks.get(key, ())] for mark in MEANINGS}
    notes = [f"{MEANINGS[mark]}{_spell(keys, list(played))}." for mark, keys in found.items() if keys]
    if notes:
        every = all(grid.training_marks.get(key) for key in played)
        notes.append(ALL if every else JOINED if grid.mix_marked else APART)
    if unjudged := [key for key, record in played.items() if levelled_off(record, grid.episodes[key]) is None]:
        notes.append(f"{UNJUDGED}{_spell(unjudged, list(played))}.")
    return notes


def _spell(rows: Sequence[tuple[str, str]], of: Sequence[tuple[str, str]]) -> str:
    """`rows` (data set, method) by method: "awr, iql; bc on iwsft/hopper/medium-v0"; without data sets where `of` has no others of it."""
    groups: dict[str, list[str]] = {}
    for method in in_order([m for _, m in rows]):
        own, every = (sorted(d for d, m in keys if m == method) for keys in (rows, of))
        groups.setdefault("" if own == every else f" on {', '.join(own)}", []).append(method)
    return "; ".join(f"{', '.join(methods)}{where}" for where, methods in groups.items())
