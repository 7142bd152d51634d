"""Kitchen: the paper's recipe, pi_ref on one set and fine-tuning on the best twentieth of two others; PointMaze beside it.

arXiv 2507.12856, section 5: pi_ref on `partial`, fine-tuning on the top 5 % of `complete` and the top 5 % of `mixed`, sparse rewards. The
paper's claim: iw-SFT(Q) recovers the performance of full data. Here on stand-ins for D4RL's sets (docs/data.md): a scripted arm, no
demonstrations by people. `conf/suite/kitchen-d4rl.yaml` is the recipe on D4RL's own. PointMaze is the other task whose reward is that of
success; its pi_ref is trained on the set's own episodes, as in `study ordering`.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from matplotlib.figure import Figure

from bench.report.figures.style import WIDTH, looks
from bench.report.render import markdown_rows
from bench.results.statistics import summarise
from bench.studies.claims import ACTIONS, NAMES, Claim, judge, score_cell, scores_of, sizes
from bench.studies.runs import Case, configured, on, results
from bench.studies.study import Found, Options

KITCHEN, MAZES, FORK = "iwsft/kitchen/complete-v0", ("iwsft/pointmaze/umaze-v0", "iwsft/pointmaze/medium-v0"), "iwsft/fork-v0"
TASKS = {KITCHEN: "kitchen"} | {maze: maze.removeprefix("iwsft/").removesuffix("-v0") for maze in MAZES}
"""The task of each of `datasets`, as tables and figures name it."""
PARTIAL, MIXED = "iwsft/kitchen/partial-v0", "iwsft/kitchen/mixed-v0"
BEST = f"{KITCHEN}@top:5%+{MIXED}@top:5%"
STRATA = f"{BEST}+{KITCHEN}@top:2%+{MIXED}@top:2%"
"""The best twentieth, and with its best episodes twice: two strata, the multiset of SFT(Q)."""
METHODS = ("bc", "filtered_bc", "sft", "sft_q", "iw_sft", "iw_sft_q")
CLAIMS = (
    Claim("sft", "bc"), Claim("sft_q", "sft"), Claim("iw_sft", "sft"), Claim("iw_sft_q", "sft_q"), Claim("iw_sft_q", "bc"),
    Claim("iw_sft_q", "full", equal=True),
)  # fmt: skip


def datasets() -> list[str]:
    """The kitchen by the id of its first set, and the mazes."""
    return list(TASKS)


def cases(toy: bool = False) -> list[Case]:
    """The recipe in the kitchen, BC on `partial` (pi_ref itself) and BC on all of `complete`, the full data; the family on the mazes."""
    family = [Case(configured(f"algo={name}"), {"method": name, "task": ""}) for name in METHODS]
    if toy:
        return [case._replace(labels=case.labels | {"task": "fork"}) for case in on([FORK], family[:3])]
    whole, from_partial = "algo.curation.percentiles=[]", f"pi_ref.dataset={PARTIAL}"
    sets = {"sft": BEST, "iw_sft": BEST, "sft_q": STRATA, "iw_sft_q": STRATA}
    kitchen: dict[str, tuple[str, ...]] = {"bc": ("algo=bc", f"dataset={PARTIAL}"), "full": ("algo=bc", f"dataset={KITCHEN}")}
    kitchen["filtered_bc"] = ("algo=filtered_bc", f"dataset={BEST}", whole)
    kitchen |= {name: (f"algo={name}", f"dataset={data}", whole, from_partial) for name, data in sets.items()}
    found = [Case(configured(*overrides), {"method": name, "task": TASKS[KITCHEN]}, KITCHEN) for name, overrides in kitchen.items()]
    for maze in MAZES:
        found += [case._replace(labels=case.labels | {"task": TASKS[maze]}) for case in on([maze], family)]
    return found


def study(options: Options) -> Found:
    rows = [row | {"dataset": row["task"], "data": row["dataset"]} for row in results("kitchen", cases(options.toy), options)]
    parts = [
        f"{sizes(rows, list(TASKS.values()))} Kitchen: score 100 is all four tasks; BC is pi_ref, trained on `partial`; full data: BC on "
        "all of `complete`. Claims: the interval of P (one run above another) decides, as in `study ordering`."
    ]
    for column, actions in ACTIONS.items():
        if scores := scores_of(rows, column):
            parts += [f"## {actions.capitalize()}", _table(scores), _claims(scores)]
    return Found(rows, _figure(rows), "\n\n".join(parts))


def _table(scores: dict[str, dict[str, np.ndarray]]) -> str:
    shown = [m for m in (*METHODS, "full") if any(m in own for own in scores.values())]
    body = [[task, *(score_cell(own[m]) if m in own else "-" for m in shown)] for task, own in scores.items()]
    return "\n".join(markdown_rows([["task", *(NAMES[m] for m in shown)], *body]))


def _claims(scores: dict[str, dict[str, np.ndarray]]) -> str:
    """Every claim on every task."""
    found = [(claim, task, judge(claim, scores, [task])) for claim in CLAIMS for task in scores]
    rows = [[str(claim), task, *tested.cells] for claim, task, tested in found if tested is not None]
    return "\n".join(markdown_rows([["claim", "task", "P", "difference", "finding"], *rows]))


def _figure(rows: Sequence[dict[str, Any]]) -> Figure:
    """Scores of the methods with their intervals, a panel for each task."""
    scores = scores_of(rows)
    figure = Figure(figsize=(WIDTH, 0.6 + 1.7 * len(scores)))
    panels = figure.subplots(len(scores), 1, squeeze=False)[:, 0]
    for (task, own), axes in zip(scores.items(), panels, strict=True):
        style = looks(list(own))
        for k, (method, values) in enumerate(own.items()):
            found = summarise(values)
            error = None if np.isnan(found.high) else [found.high - found.mean]
            axes.errorbar([k], [found.mean], yerr=error, color=style[method].colour, marker=style[method].marker, markersize=5)
        axes.set_xticks(range(len(own)), [NAMES[m] for m in own], fontsize=7)
        axes.set(title=task, ylabel="score")
    return figure
