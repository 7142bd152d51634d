"""Protocol of a result: the properties that must agree between numbers that share a table."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import pandas as pd

from bench.errors import RunError
from bench.results.episodes import reference_name
from bench.storage.layout import Row


class TableOptions(NamedTuple):
    """Options of the tables.

    mixed: write one table per protocol instead of refusing runs of several. published: add scores from papers, in tables of their own.
    root: count `configs_tried` over all suites below this folder as well. methods: those of the figures; the best ones if empty.
    mix_marked: average and rank rows that were not trained long enough (bench.results.levelling) together with the others.
    pdf: write figures as PDF, too.
    """

    mixed: bool = False
    published: bool = False
    root: Path | None = None
    methods: tuple[str, ...] = ()
    mix_marked: bool = False
    pdf: bool = False

    def of_runs(self, records: Sequence[Row]) -> TableOptions:
        """The options, with those added that the configuration of a run turns on (report.mixed, report.published, report.mix_marked)."""
        mixed, published, mix_marked = (any(r.get(name) for r in records) for name in ("mixed", "published", "mix_marked"))
        return self._replace(mixed=self.mixed or mixed, published=self.published or published, mix_marked=self.mix_marked or mix_marked)


def comparable_groups(records: Sequence[Row]) -> list[list[Row]]:
    """`records` in groups that may share a table: the same number of final episodes, one reference set, one kind of actions.

    A run without reference scores joins the group with its number of episodes, if there is only one.
    """
    sets: dict[int, set[str]] = {}
    for r in records:
        sets.setdefault(r["final_episodes"], set()).add(reference_name(r))
    groups: dict[tuple[int, str, str], list[Row]] = {}
    for r in records:
        named = sets[r["final_episodes"]] - {"none"}
        name = next(iter(named)) if len(named) == 1 else reference_name(r)
        groups.setdefault((r["final_episodes"], name, r.get("actions", "mean")), []).append(r)
    return [groups[key] for key in sorted(groups)]


class Measured(NamedTuple):
    """One number of a table, and how it was measured. `episodes`, `evaluations` and `digest` may be NaN or empty where unknown,
    `actions` (mean, sampled) is empty where each row of a table says it."""

    algo: str
    dataset: str
    selection: str
    reference: str
    episodes: float
    evaluations: float
    digest: str
    actions: str = ""


def measured_runs(records: Iterable[Row]) -> Iterator[Measured]:
    """The last iterate of every run; runs without episodes have no number."""
    for r in (r for r in records if r["final_episodes"]):
        actions = "sampled" if r.get("actions") == "sampled" else "mean"  # both: the mean action, as selection rules use it
        yield Measured(r["algo"], r["dataset"], "last", reference_name(r), r["final_episodes"], 1, r["dataset_digest"], actions)


def measured_rows(board: pd.DataFrame) -> Iterator[Measured]:
    """Every row of a leaderboard that has a number."""
    for r in board[board["eval_episodes"] != 0].itertuples():
        yield Measured(r.algo, r.dataset, r.selection, r.reference, r.eval_episodes, r.evaluations, r.dataset_digest)


_RULES: tuple[tuple[str, Callable[[Measured], tuple[str, Any] | None]], ...] = (
    ("reference sets", lambda m: None if m.reference == "none" else ("", m.reference)),
    ("numbers of episodes", lambda m: (f"{m.selection}: ", m.episodes)),
    (
        "numbers of evaluations to choose from",
        lambda m: (f"{m.dataset}, {m.selection}: ", m.evaluations) if m.selection == "best" else None,
    ),
    ("actions", lambda m: ("", m.actions)),
    ("data under one name", lambda m: (f"{m.dataset}: ", m.digest[:12])),
)
"""Name of a property, and (scope within which it must agree, value) of a number; None where the rule does not apply."""


def refuse_mixed(where: str, numbers: Iterable[Measured], remedy: str) -> None:
    """Raise RunError, in one line, unless `numbers` agree in reference set, episodes, evaluations chosen from, and data."""
    numbers = list(numbers)
    differences = []
    for name, rule in _RULES:
        scopes: dict[str, dict[Any, set[str]]] = {}
        for m in numbers:
            if (found := rule(m)) is not None and found[1] == found[1] and found[1] != "":
                scopes.setdefault(found[0], {}).setdefault(found[1], set()).add(m.algo)
        for scope, values in scopes.items():
            if len(values) > 1:
                differences.append(f"{scope}{name} differ, " + " and ".join(_spelled(v, values[v]) for v in sorted(values)))
    if differences:
        raise RunError(f"{where}: {'; '.join(differences)}. Numbers of different protocols share no table: {remedy}")


def _spelled(value: Any, algos: set[str]) -> str:
    names = sorted(algos)
    shown = ", ".join(names[:3]) + (f" and {len(names) - 3} more" if len(names) > 3 else "")
    return f"{value if isinstance(value, str) else format(value, '.0f')} ({shown})"
