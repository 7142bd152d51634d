"""Prepare: does better supervised fine-tuning prepare for RL? One identical RL stage after every policy: score before against score after.

The stage takes the policy that a method has trained as its actor (`online.stage=actor_critic`, algos/continuation.py). For 2,000 steps the
policy acts as it is, while critics of its own are trained for it by fitted Q evaluation, 3 updates a step; then 4,000 steps, an update
each. Two layers of 128 and batches of 128, so that two cores bear it. IQL has 10,000 updates before the stage and
its authors' settings for locomotion (conf/domains.yaml, which has none for this maze), the others the paper's numbers (pi_ref 10,000,
fine-tuning 4,500).
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from matplotlib.figure import Figure

from bench.report.figures.style import WIDTH, legend, looks, short
from bench.report.render import markdown_rows
from bench.results.bootstrap import Estimate
from bench.results.correlation import over_policies, spearman
from bench.results.names import in_order
from bench.results.statistics import summarise
from bench.studies.claims import NAMES, Claim, judge, score_cell, scores_of, sizes
from bench.studies.runs import Case, configured, on, results
from bench.studies.study import Found, Options

DATASETS = ("iwsft/hopper/mixed-v0", "iwsft/halfcheetah/mixed-v0", "iwsft/walker2d/mixed-v0", "iwsft/pointmaze/umaze-v0")
METHODS = ("bc", "filtered_bc", "sft", "sft_q", "iw_sft", "iw_sft_q", "dft", "iql")
BUDGET = (
    "seeds=4", "eval.final_episodes=10", "eval.episodes=5", "algo.hidden=[128,128]", "online.stage=actor_critic", "online.steps=6000",
    "online.warmup=2000", "online.critic_updates=3", "online.every=2000", "online.batch_size=128",
)  # fmt: skip
CLAIMS = (Claim("sft", "bc"), Claim("sft_q", "sft"), Claim("iw_sft", "sft"), Claim("iw_sft_q", "sft_q"), Claim("sft_q", "iql"))


def datasets() -> list[str]:
    """Three sets of continuous quality, and a maze with a sparse reward."""
    return list(DATASETS)


def cases(toy: bool = False) -> list[Case]:
    """Every method, and the same stage after it, on every data set."""
    own = {"iql": ("algo.updates=10000", "algo.batch_size=128")}
    methods = ("bc", "sft", "iql") if toy else METHODS
    found = [Case(configured(*BUDGET, f"algo={name}", *own.get(name, ())), {"method": name}) for name in methods]
    return on(["iwsft/fork-v0"] if toy else DATASETS, found)


def study(options: Options) -> Found:
    rows = results("prepare", cases(options.toy), options)
    done = list(dict.fromkeys(row["dataset"] for row in rows))
    parts = [
        f"{sizes(rows, DATASETS)} Mean actions.",
        "Before, after: scores of the policy as it was trained, and after the stage. Area: mean score over the stage. Correlation: "
        "Spearman's of before and after over all policies (methods and seeds), with its 95 % interval over resampled policies; of methods: "
        "of their means over seeds. A claim about scores after the stage holds where the interval of P lies above 0.5.",
        *(part for dataset in done for part in _of_dataset([row for row in rows if row["dataset"] == dataset])),
        "## Verdict", _verdict(rows, done),
    ]  # fmt: skip
    return Found(rows, _figure(rows, done), "\n\n".join(parts))


def correlation(rows: Sequence[dict[str, Any]]) -> Estimate:
    """Spearman's rank correlation of the scores before and after the stage over policies, with its interval."""
    before, after = (np.array([row[name] for row in rows]) for name in ("before", "score"))
    known = np.isfinite(before) & np.isfinite(after)
    return over_policies(spearman, before[known], after[known])


def of_methods(rows: Sequence[dict[str, Any]]) -> float:
    """Spearman's rank correlation of the methods' mean scores before and after."""
    names = list(dict.fromkeys(row["method"] for row in rows))
    means = [[np.nanmean([row[column] for row in rows if row["method"] == name]) for name in names] for column in ("before", "score")]
    return float(spearman(np.array(means[:1]), np.array(means[1:]))[0])


def _of_dataset(rows: Sequence[dict[str, Any]]) -> list[str]:
    """The table of a data set, its correlation, and the claims on it."""
    by = {column: next(iter(scores_of(rows, column).values()), {}) for column in ("before", "score", "area")}
    shown = [m for m in in_order([row["method"] for row in rows]) if all(m in own for own in by.values())]
    body = []
    for m in shown:
        gain = summarise(by["score"][m] - by["before"][m])
        half = "" if np.isnan(gain.low) else f" ± {gain.high - gain.mean:.1f}"
        body.append([NAMES.get(m, m.upper()), *(score_cell(by[column][m]) for column in by), f"{gain.mean:+.1f}{half}"])
    table = "\n".join(markdown_rows([["start", "before", "after", "area", "gain"], *body]))
    scores = scores_of(rows, "score")
    tested = [t for claim in CLAIMS if (t := judge(claim, scores)) is not None]
    claims = "\n".join(f"* after the stage, {t.claim}: P {t.cells[0]}, {t.finding}." for t in tested)
    words = f"Correlation: {_spell(correlation(rows))}; of methods: {of_methods(rows):.2f}."
    return [f"**{rows[0]['dataset']}**", table, words, claims]


def _verdict(rows: Sequence[dict[str, Any]], done: Sequence[str]) -> str:
    """The answer in words: where the order before the stage is the order after it, and where the stage helps."""
    own = {dataset: [row for row in rows if row["dataset"] == dataset] for dataset in done}
    found = {dataset: correlation(part) for dataset, part in own.items()}
    kept = [short(d) for d, e in found.items() if e.low > 0]
    reversed_ = [short(d) for d, e in found.items() if e.high < 0]
    open_ = [short(d) for d in done if short(d) not in (*kept, *reversed_)]
    lines = [
        f"A policy that scores higher before the stage scores higher after it on {len(kept)} of {len(done)} data sets ({_list(kept)}); "
        f"lower on {len(reversed_)} ({_list(reversed_)}); no order is seen on {len(open_)} ({_list(open_)})."
    ]
    for dataset, part in own.items():
        gains = {m: summarise(np.array([r["score"] - r["before"] for r in part if r["method"] == m])) for m in {r["method"] for r in part}}
        better = in_order([m for m, s in gains.items() if s.low > 0])
        worse = in_order([m for m, s in gains.items() if s.high < 0])
        spelled = [_list([NAMES.get(m, m.upper()) for m in names]) for names in (better, worse)]
        lines.append(f"{short(dataset)}: the stage improves {spelled[0]}, and harms {spelled[1]} (interval of the gain over seeds).")
    return "\n".join(f"* {line}" for line in lines)


def _list(names: Sequence[str]) -> str:
    return ", ".join(names) or "none"


def _spell(e: Estimate) -> str:
    return f"{e.value:.2f}" + ("" if np.isnan(e.low) else f" [{e.low:.2f}, {e.high:.2f}]")


def _figure(rows: Sequence[dict[str, Any]], done: Sequence[str]) -> Figure:
    """Score after the stage against score before it: a panel for each data set, a point for each seed of each method."""
    methods = in_order([row["method"] for row in rows])
    style = looks(methods)
    across = min(2, len(done))
    figure = Figure(figsize=(WIDTH, 0.9 + 2.6 * -(-len(done) // across)))
    panels = figure.subplots(-(-len(done) // across), across, squeeze=False).ravel()
    for dataset, axes in zip(done, panels, strict=False):
        for method in methods:
            own = [row for row in rows if (row["dataset"], row["method"]) == (dataset, method)]
            points = [row["before"] for row in own], [row["score"] for row in own]
            look = style[method]
            axes.plot(
                *points, color=look.colour, marker=look.marker, markersize=4, linestyle="none", label=NAMES.get(method, method.upper())
            )
        axes.axline((0, 0), slope=1, color="0.7", linewidth=0.8, zorder=0)
        axes.set(title=short(dataset), xlabel="score before", ylabel="score after")
    for axes in panels[len(done) :]:
        axes.set_axis_off()
    legend(figure, panels[0])
    return figure
