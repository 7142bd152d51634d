"""Precision: scores of compiled updates in bfloat16 against eager ones in float32, seed by seed.

The first is what a run of 100,000 updates or more chooses by itself on a processor that is built for it (bench/training/choice.py), the
second what a shorter one does. Both start from the same seeds and see the same batches, so that differences are those of rounding. On a
processor without bfloat16 both are float32, and the study has nothing to compare.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from matplotlib.figure import Figure

from bench.report.figures.style import COLOURS, MARKERS, canvas, legend, short
from bench.report.render import markdown_rows
from bench.results.statistics import holm, paired
from bench.studies.claims import ACTIONS, NAMES, score_cell, scores_of, sizes
from bench.studies.runs import Case, configured, on, results
from bench.studies.study import Found, Options

DATASETS = ("iwsft/hopper/mixed-v0", "iwsft/halfcheetah/mixed-v0", "iwsft/walker2d/mixed-v0")
METHODS = ("bc", "iw_sft", "iql", "td3_bc")
PLAIN, FAST = "float32, eager", "bf16, compiled"
ARITHMETIC = {
    PLAIN: ("trainer.precision=float32", "trainer.engine=eager"),
    FAST: ("trainer.precision=bf16", "trainer.engine=compiled"),
}
SIZE = ("seeds=4", "algo.updates=3000", "pi_ref.updates=3000", "eval.final_episodes=20")


def datasets() -> list[str]:
    """The data sets of continuous quality."""
    return list(DATASETS)


def cases(toy: bool = False) -> list[Case]:
    """Every method with either arithmetic; the same method's side by side."""
    found = [
        Case(configured(f"algo={method}", *SIZE, *keys), {"method": method, "arithmetic": name})
        for method in (METHODS[:1] if toy else METHODS)
        for name, keys in ARITHMETIC.items()
    ]
    return on(["iwsft/fork-v0"] if toy else DATASETS, found)


def study(options: Options) -> Found:
    rows = results("precision", cases(options.toy), options)
    parts = [f"{sizes(rows, datasets())} 3,000 updates of every method and of pi_ref. Difference: {FAST}, less {PLAIN}, paired by seed."]
    for column, actions in ACTIONS.items():
        parts += [f"**{actions.capitalize()}**", *_compared(_pairs(rows, column))]
    return Found(rows, _figure(rows), "\n\n".join(parts))


Pairs = Mapping[tuple[str, str], tuple[np.ndarray, np.ndarray]]
"""Scores [seeds] with PLAIN and with FAST, by data set and method."""


def _pairs(rows: Sequence[dict[str, Any]], column: str) -> Pairs:
    by = {name: scores_of([r for r in rows if r["arithmetic"] == name], column) for name in ARITHMETIC}
    cells = [(d, m) for d, own in by[PLAIN].items() for m in own if m in by[FAST].get(d, {})]
    return {(d, m): (by[PLAIN][d][m], by[FAST][d][m]) for d, m in cells}


def _compared(pairs: Pairs) -> list[str]:
    """A table of differences, and what it shows."""
    found = {cell: paired([a], [b]) for cell, (a, b) in pairs.items()}
    corrected = holm([c.p for c in found.values()])
    head = ["data set", "method", PLAIN, FAST, "difference", "p (Holm)"]
    body = [
        [short(d), NAMES.get(m, m), score_cell(pairs[d, m][0]), score_cell(pairs[d, m][1]),
         f"{c.difference:+.1f} [{c.low:+.1f}, {c.high:+.1f}]", f"{p:.2f}"]
        for ((d, m), c), p in zip(found.items(), corrected, strict=True)
    ]  # fmt: skip
    beyond = sum(p < 0.05 for p in corrected)
    over_all = paired([a for a, _ in pairs.values()], [b for _, b in pairs.values()])
    words = (
        f"{beyond} of {len(found)} differences are beyond chance (paired t-test over seeds, Holm-corrected, level 0.05). Over all lines: "
        f"{over_all.difference:+.2f} [{over_all.low:+.2f}, {over_all.high:+.2f}] points."
    )
    return ["\n".join(markdown_rows([head, *body])), words]


def _figure(rows: Sequence[dict[str, Any]]) -> Figure:
    """Score in bfloat16 against score in float32, a mark for each seed."""
    figure, axes = canvas()
    pairs = _pairs(rows, "score")
    methods = list(dict.fromkeys(m for _, m in pairs))
    for k, method in enumerate(methods):
        own = [pair for (_, m), pair in pairs.items() if m == method]
        x, y = (np.concatenate([pair[i] for pair in own]) for i in (0, 1))
        axes.plot(x, y, color=COLOURS[k], marker=MARKERS[k], markersize=4, linestyle="none", label=NAMES.get(method, method))
    ends = axes.get_xlim()
    axes.plot(ends, ends, color=COLOURS[0], linewidth=0.8, linestyle=":")
    axes.set(xlabel=f"score, {PLAIN}", ylabel=f"score, {FAST}")
    legend(figure, axes, most=4)
    return figure
