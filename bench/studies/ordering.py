"""Ordering: BC, 10 % BC, SFT, SFT(Q), iw-SFT, iw-SFT(Q) and DFT at the paper's numbers of updates; every claim with its probability.

pi_ref, BC and 10 % BC: 10,000 updates at 1e-3; fine-tuning: 4,500 at 4e-4, ten times the paper's rate, because batches hold 256
transitions and not 256 whole trajectories (arXiv 2507.12856, section 5 and appendix). On every built-in data set. The weights of iw-SFT are
those of its default, which keeps four fifths of the effective sample size, and more concentrated ones, which keep a fifth. The runs are
those of suite=paper, evaluations on the way included.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from matplotlib.figure import Figure

from bench.report.figures.style import COLOURS, WIDTH, short
from bench.report.render import markdown_rows
from bench.results.names import in_order
from bench.studies.claims import ACTIONS, NAMES, Claim, Tested, judge, score_cell, scores_of, sizes
from bench.studies.runs import Case, configured, on, results
from bench.studies.study import Found, Options
from envs.recorded.recipes import recipes

METHODS = ("bc", "sft", "sft_q", "iw_sft", "iw_sft_q", "filtered_bc", "dft")  # bc first: its policy is the pi_ref of the others
CONCENTRATED = "min_ess=0.2"
PAPER, BOUND = "stated", "by the bounds"
CLAIMS = (
    Claim("sft", "filtered_bc", True, PAPER), Claim("sft_q", "bc", False, PAPER), Claim("sft_q", "filtered_bc", False, PAPER),
    Claim("sft_q", "sft", False, PAPER), Claim("iw_sft_q", "sft_q", False, PAPER),
    Claim("filtered_bc", "bc", False, BOUND), Claim("sft", "bc", False, BOUND), Claim("iw_sft", "sft", False, BOUND),
    Claim("iw_sft_q", "iw_sft", False, BOUND), Claim("iw_sft_q", "bc", False, BOUND), Claim("dft", "sft", False, "DFT's paper"),
    Claim(f"iw_sft {CONCENTRATED}", "sft", False, BOUND), Claim(f"iw_sft_q {CONCENTRATED}", "sft_q", False, PAPER),
)  # fmt: skip
"""The claims that the paper states about its control tasks, those that its argument (a tighter bound, a finer reward) leads one to expect,
and that of DFT's paper (arXiv 2508.05629), whose data are text."""
FORK = "iwsft/fork-v0"
AS_IN_PAPER = ("eval.every=${evenly:10}", "eval.episodes=3")


def datasets() -> list[str]:
    """Every built-in data set: those of continuous quality first, which can tell the methods apart."""
    return sorted(recipes(), key=lambda dataset: "mixed-v0" not in dataset or "kitchen" in dataset)


def cases(toy: bool = False) -> list[Case]:
    """Every method on every data set, then the weighted ones with concentrated weights."""
    found = [Case(configured(f"algo={name}", *AS_IN_PAPER), {"method": name}) for name in METHODS]
    for name in ("iw_sft", "iw_sft_q"):
        found.append(Case(configured(f"algo={name}", f"algo.weighting.{CONCENTRATED}", *AS_IN_PAPER), {"method": f"{name} {CONCENTRATED}"}))
    return on([FORK] if toy else datasets(), found)


def study(options: Options) -> Found:
    rows = results("ordering", cases(options.toy), options)
    parts = [
        sizes(rows, datasets()),
        "P: probability that a run of the first scores above one of the second, with its 95 % interval (bootstrap over seeds). Difference: "
        "of mean scores, seeds paired, with Student's interval. A claim holds where the interval of P "
        "lies above 0.5; a claim of equality is not refuted where it contains 0.5.",
    ]
    tested: dict[str, list[Tested]] = {}
    for column, actions in ACTIONS.items():
        if scores := scores_of(rows, column):
            tested[actions] = [t for claim in CLAIMS if (t := judge(claim, scores)) is not None]
            parts += [
                f"## {actions.capitalize()}",
                _scores(scores),
                _claims(tested[actions]),
                *_words(scores, tested[actions]),
            ]
    return Found(rows, _figure(rows, tested), "\n\n".join(parts))


def _scores(scores: dict[str, dict[str, np.ndarray]]) -> str:
    """Mean scores of every method with half of their 95 % intervals."""
    shown = in_order([m for own in scores.values() for m in own])
    rows = [[short(d), *(score_cell(own[m]) if m in own else "-" for m in shown)] for d, own in scores.items()]
    return "\n".join(markdown_rows([["data set", *(NAMES[m] for m in shown)], *rows]))


def _claims(tested: Sequence[Tested]) -> str:
    """Every claim over all data sets that have both of its methods."""
    rows = [[str(t.claim), t.claim.source, str(len(t.datasets)), *t.cells] for t in tested]
    return "\n".join(markdown_rows([["claim", "source", "data sets", "P", "difference", "finding"], *rows]))


def _words(scores: dict[str, dict[str, np.ndarray]], tested: Sequence[Tested]) -> list[str]:
    """Each claim in a sentence: on how many data sets it holds, and on which the opposite is seen, with the differences of mean scores."""
    stated = [t for t in tested if t.claim.source == PAPER]
    hold = [str(t.claim) for t in stated if t.supported]
    against = [f"{t.claim} ({t.finding})" for t in stated if t.contradicted]
    found = [
        f"Of {len(stated)} tested claims that the paper states, supported (one of equality: not refuted): {', '.join(hold) or 'none'}. "
        f"Contradicted: {', '.join(against) or 'none'}. Of the others no difference is seen, or there are too few seeds.", ""
    ]  # fmt: skip
    for overall in tested:
        own = {d: t for d in overall.datasets if (t := judge(overall.claim, scores, [d])) is not None}
        found_on = dict.fromkeys(t.finding for t in own.values())
        by = {finding: [f"{short(d)} {t.cells[1]}" for d, t in own.items() if t.finding == finding] for finding in found_on}
        listed = "; ".join(f"{finding} on {len(names)} ({', '.join(names)})" for finding, names in sorted(by.items()))
        found.append(f"* {overall.claim}: {overall.finding} over all. By data set: {listed}.")
    return ["\n".join(found)]


def _figure(rows: Sequence[dict[str, Any]], tested: dict[str, list[Tested]]) -> Figure:
    """Probability of improvement of each claim: over all data sets with its interval, and on each data set (small)."""
    claims = max(map(len, tested.values()))
    figure = Figure(figsize=(WIDTH, 1.3 + 0.42 * claims))
    axes = figure.add_subplot()
    columns = {actions: column for column, actions in ACTIONS.items()}
    for k, (actions, found) in enumerate(tested.items()):
        scores, colour = scores_of(rows, columns[actions]), COLOURS[2 * k + 2]
        for i, overall in enumerate(found):
            y = i + 0.18 * (2 * k - len(tested) + 1)
            each = [t.probability.value for d in overall.datasets if (t := judge(overall.claim, scores, [d])) is not None]
            axes.plot(each, [y] * len(each), color=colour, marker="|", markersize=5, alpha=0.5, linestyle="none")
            p = overall.probability
            axes.plot([p.low, p.high], [y, y], color=colour, linewidth=1.5)
            axes.plot([p.value], [y], color=colour, marker="o", markersize=5, linestyle="none", label=actions if i == 0 else None)
    axes.axvline(0.5, color=COLOURS[0], linewidth=0.8, linestyle=":")
    axes.set_yticks(range(claims), [str(t.claim) for t in next(iter(tested.values()))])
    axes.set(xlabel="P(first above second); strokes: data sets", xlim=(-0.02, 1.02), ylim=(claims - 0.5, -0.5))
    figure.legend(*axes.get_legend_handles_labels(), loc="outside lower center", ncols=2)
    return figure
