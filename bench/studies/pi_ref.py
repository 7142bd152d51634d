"""pi_ref: importance weights against the exact density of the behaviour, and against BC after 1,000, 10,000 and 50,000 updates.

The built-in sets hold the exact log-density of every action, infos/log_prob, of the policy that took it (a mixture of policies made the
set: each action is compared with its own). With `exact`, rho = log q - log_prob of the data, and training starts from the fitted pi_ref of
10,000 updates; otherwise both are the fitted one. pi_ref weighs every step the same (per_step) or every episode (per_episode).
arXiv 2507.12856 trains pi_ref for 10,000 updates, per episode.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from bench.report.figures.style import COLOURS, MARKERS, WIDTH, legend, short
from bench.report.render import markdown_rows
from bench.results.statistics import summarise
from bench.studies.behaviour import exact_density
from bench.studies.claims import ACTIONS, NAMES, Claim, judge, score_cell, scores_of, sizes
from bench.studies.runs import Case, configured, on, results
from bench.studies.study import Found, Options

DATASETS = ("iwsft/hopper/mixed-v0", "iwsft/halfcheetah/mixed-v0", "iwsft/walker2d/mixed-v0", "iwsft/fork-v0")
UPDATES = (1_000, 10_000, 50_000)
WEIGHTINGS = ("per_step", "per_episode")
METHODS = ("bc", "sft", "iw_sft")
EXACT = "exact"


def datasets() -> list[str]:
    """The data sets of continuous quality, and the fork."""
    return list(DATASETS)


def cases(toy: bool = False) -> list[Case]:
    """Every pi_ref with BC (pi_ref itself), SFT and iw-SFT; and iw-SFT with the exact density."""
    found = []
    for updates in UPDATES[:2] if toy else UPDATES:
        for weighting in WEIGHTINGS:
            keys = (f"pi_ref.updates={updates}", f"pi_ref.length_weighting={weighting}")
            name = f"{updates:,} updates, {weighting}"
            found += [Case(configured(f"algo={method}", *keys), {"pi_ref": name, "method": method}) for method in METHODS]
    found.append(Case(configured("algo=iw_sft"), {"pi_ref": EXACT, "method": "iw_sft"}, own=exact_density))
    return on(DATASETS[-1:] if toy else DATASETS, found)


def study(options: Options) -> Found:
    rows = results("pi_ref", cases(options.toy), options)
    parts = [f"{sizes(rows, DATASETS)} Fine-tuning as in `study ordering`."]
    for column, actions in ACTIONS.items():
        for dataset in scores_of(rows, column):
            own = [row for row in rows if row["dataset"] == dataset]
            parts += [f"**{dataset}, {actions}**", _table(own, column), *_words(own, column)]
    return Found(rows, _figure(rows), "\n\n".join(parts))


def _by_reference(rows: Sequence[dict[str, Any]], column: str) -> dict[str, dict[str, np.ndarray]]:
    """Scores by pi_ref and method, on one data set."""
    return scores_of([row | {"dataset": row["pi_ref"]} for row in rows], column)


def _table(rows: Sequence[dict[str, Any]], column: str) -> str:
    body = []
    for name, own in _by_reference(rows, column).items():
        ess = np.mean([row["weight_ess"] for row in rows if (row["pi_ref"], row["method"]) == (name, "iw_sft")] or [np.nan])
        cells = [score_cell(own[m]) if m in own else "-" for m in METHODS]
        tested = judge(Claim("iw_sft", "sft"), {name: own})
        body.append([name, *cells, "-" if np.isnan(ess) else f"{ess:.0%}", *(["-", "-"] if tested is None else tested.cells[::2])])
    head = ["pi_ref", *(NAMES[m] for m in METHODS), "ESS", "P(iw-SFT > SFT)", "finding"]
    return "\n".join(markdown_rows([head, *body]))


def _words(rows: Sequence[dict[str, Any]], column: str) -> list[str]:
    """iw-SFT with the exact density against iw-SFT with each fitted pi_ref."""
    by = {name: own["iw_sft"] for name, own in _by_reference(rows, column).items() if "iw_sft" in own}
    judged = [t for name in by if name != EXACT and (t := judge(Claim(EXACT, name, equal=True), {"": by})) is not None]
    words = {"the first is better": "the exact density is better", "the second is better": "the fitted one is better"}
    lines = [f"* iw-SFT, exact against {t.claim.worse}: {t.cells[1]}, {words.get(t.finding, t.finding)}." for t in judged]
    return ["\n".join(lines)] if lines else []


def _figure(rows: Sequence[dict[str, Any]]) -> Figure:
    """Score of each method with each pi_ref: a row of panels for each data set, with mean and with sampled actions."""
    names = list(dict.fromkeys(row["dataset"] for row in rows))
    references = list(dict.fromkeys(row["pi_ref"] for row in rows))
    figure = Figure(figsize=(WIDTH, 1.6 + 1.8 * len(names)))
    panels = figure.subplots(len(names), len(ACTIONS), squeeze=False, sharex=True, sharey="row")
    for dataset, across in zip(names, panels, strict=True):
        own = [row for row in rows if row["dataset"] == dataset]
        for (column, actions), axes in zip(ACTIONS.items(), across, strict=True):
            _panel(axes, _by_reference(own, column), references)
            axes.set(title=f"{short(dataset)}, {actions}")
        across[0].set(ylabel="score")
    labels = [name.replace(" updates", "") for name in references]
    for axes in panels[-1]:
        axes.set_xticks(range(len(references)), labels, rotation=40, ha="right", fontsize=7)
        axes.set_xlabel("updates and weighting of pi_ref", fontsize=7)
    legend(figure, panels[0, 0])
    return figure


def _panel(axes: Axes, by: Mapping[str, Mapping[str, np.ndarray]], references: Sequence[str]) -> None:
    """Means and intervals of the methods, by pi_ref."""
    for k, method in enumerate(METHODS):
        found = [(references.index(name) + 0.12 * (k - 1), summarise(own[method])) for name, own in by.items() if method in own]
        error = [0.0 if np.isnan(s.high) else s.high - s.mean for _, s in found]
        x, y = [x for x, _ in found], [s.mean for _, s in found]
        axes.errorbar(x, y, yerr=error, color=COLOURS[k], marker=MARKERS[k], markersize=4, linestyle="none", label=NAMES[method])
