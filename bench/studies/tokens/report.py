"""Tables, claims, rank correlations and figure of the study `language`, computed from its rows."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from matplotlib.figure import Figure
from scipy import stats

from bench.report.figures.style import WIDTH, looks, short
from bench.report.render import markdown_rows
from bench.studies.claims import Claim, judge, score_cell, scores_of, seeds_in
from bench.studies.tokens.measure import DRAWS, GREEDY, LARGER_DRAWS
from bench.studies.tokens.reinforce import Reinforce

Rows = Sequence[dict[str, Any]]

NAMES = {
    "bc": "BC (pi_ref)", "filtered_bc": "filtered BC", "sft": "SFT", "sft_q": "SFT(Q)", "iw_sft": "iw-SFT", "iw_sft_step": "iw-SFT, steps",
    "iw_sft_authors": "iw-SFT, authors' rule", "iw_sft_q": "iw-SFT(Q)", "iw_sft_q_step": "iw-SFT(Q), steps", "dft": "DFT", "asft": "ASFT",
    "psft": "PSFT", "pear": "PEAR, suffix",
}  # fmt: skip
WEIGHS = {
    "bc": "-", "filtered_bc": "-", "sft": "-", "sft_q": "sequences, by strata", "iw_sft": "sequences", "iw_sft_step": "tokens",
    "iw_sft_authors": "sequences", "iw_sft_q": "sequences", "iw_sft_q_step": "tokens", "dft": "tokens", "asft": "tokens", "psft": "tokens",
    "pear": "tokens, by their suffix",
}  # fmt: skip
BEFORE = {
    "score": "exact match", "pass_1": "pass@1", "pass_8": "pass@8", "pass_64": "pass@64", "easiest": "easiest", "hardest": "hardest",
    "larger": "larger", "larger_pass_8": "larger, pass@8",
}  # fmt: skip
OTHER = {"nll": "NLL", "nll_mixture": "NLL of the mixture", "entropy": "entropy", "kl_pi_ref": "KL to pi_ref", "weight_ess": "ESS"}
AFTER = {f"rl_{name}": f"{text}" for name, text in BEFORE.items() if name not in ("easiest", "hardest")}
SIGNS = {"nll": -1, "nll_mixture": -1, "kl_pi_ref": -1}  # a low value is expected to be good
CLAIMS = (
    Claim("sft", "bc"), Claim("sft", "filtered_bc"), Claim("sft_q", "sft"), Claim("iw_sft", "sft"), Claim("iw_sft_step", "sft"),
    Claim("iw_sft_authors", "sft"), Claim("iw_sft_q", "sft_q"), Claim("dft", "sft"), Claim("asft", "dft"), Claim("psft", "sft"),
    Claim("pear", "sft"),
)  # fmt: skip


def verdict(rows: Rows, prior: int, updates: int, stage: Reinforce) -> str:
    """The study in words and tables."""
    forgetful, rows = [r for r in rows if r["second"]], [r for r in rows if not r["second"]]
    main, axis = [r for r in rows if r["prior"] == prior], [r for r in rows if r["prior"] != prior]
    drawn = max(r["episodes"] for r in [*rows, *forgetful])
    parts = [
        f"{seeds_in(main or [*rows, *forgetful])} seeds; pi_ref {prior:,} and fine-tuning {updates:,} updates of 32 sequences; REINFORCE: "
        f"{stage.sequences:,} generated sequences a seed in {stage.updates} updates. Held-out instances of each size: {GREEDY * drawn} for "
        f"the likeliest answer, {drawn} with {DRAWS} drawn answers each for pass@k (unbiased estimates); larger ones with {LARGER_DRAWS}. "
        "Percent, means over seeds with half of the 95 % interval; NLL, entropy and KL in nats a token. Small models on synthetic tasks: "
        "the tables compare objectives."
    ]
    for dataset in dict.fromkeys(r["dataset"] for r in main):
        own = [r for r in main if r["dataset"] == dataset]
        parts += [f"## {dataset}, {seeds_in(own)} seeds", _table(own, BEFORE), _table(own, OTHER), "After REINFORCE:", _table(own, AFTER)]
    for column, text in (("score", "before"), ("rl_score", "after")):
        parts += [f"## Claims, exact match {text} REINFORCE", _claims(main, column)]
    parts += ["## What tells the exact match after REINFORCE", _correlations(main)]
    if axis:
        parts += ["## Strength of pi_ref", _strengths(rows, {r["dataset"] for r in axis})]
    if forgetful:
        parts += ["## Forgetting a second task", _forgetting(forgetful)]
    return "\n\n".join(parts)


def _methods(rows: Rows) -> list[str]:
    return [name for name in NAMES if any(r["method"] == name for r in rows)]


def _values(rows: Rows, method: str, column: str) -> np.ndarray:
    return np.array([r[column] for r in rows if r["method"] == method and np.isfinite(r[column])])


def _table(rows: Rows, columns: dict[str, str]) -> str:
    lines = [["method", "weighs", *columns.values()]]
    for name in _methods(rows):
        found = [_values(rows, name, column) for column in columns]
        lines.append([NAMES[name], WEIGHS[name], *(_cell(v, column) if len(v) else "-" for v, column in zip(found, columns, strict=True))])
    return "\n".join(markdown_rows(lines))


def _cell(values: np.ndarray, column: str) -> str:
    return f"{values.mean():.3f}" if column in OTHER else score_cell(values)


def _claims(rows: Rows, column: str) -> str:
    """Every claim over all data sets, and on each."""
    scores = scores_of(rows, column)
    lines = [["claim", "P, all sets", "difference", "finding", "by data set"]]
    for claim in CLAIMS:
        if (overall := judge(claim, scores)) is None:
            continue
        own = {d: t for d in overall.datasets if (t := judge(claim, scores, [d])) is not None}
        by = "; ".join(f"{short(d)} {t.cells[1]}" for d, t in own.items())
        lines.append([f"{NAMES[claim.better]} beats {NAMES[claim.worse]}", *overall.cells, by])
    return "\n".join(markdown_rows(lines))


def _correlations(rows: Rows) -> str:
    """Spearman's rank correlation of each measure with the exact match after the stage: over methods' means, and over all policies."""
    names = list(dict.fromkeys(r["dataset"] for r in rows))
    lines = [["before", *(f"{short(d)}: methods, policies" for d in names), "mean over sets: methods"]]
    for column, text in (BEFORE | {k: v for k, v in OTHER.items() if k != "weight_ess"}).items():
        cells, means = [], []
        for dataset in names:
            own = [r for r in rows if r["dataset"] == dataset]
            methods = _methods(own)
            pairs = np.array([[_values(own, m, c).mean() for m in methods] for c in (column, "rl_score")])
            every = np.array([[r[c] for r in own] for c in (column, "rl_score")])
            sign = SIGNS.get(column, 1)
            found = [sign * _spearman(x) for x in (pairs, every)]
            means.append(found[0])
            cells.append(", ".join(map(_signed, found)))
        lines.append([("minus " if column in SIGNS else "") + text, *cells, _signed(float(np.mean(means)))])
    return "\n".join(markdown_rows(lines))


def _signed(correlation: float) -> str:
    return "-" if np.isnan(correlation) else f"{correlation:+.2f}"


def _spearman(pairs: np.ndarray) -> float:
    """Rank correlation of two rows; NaN where one is constant."""
    if pairs.shape[1] < 3 or (np.ptp(pairs, axis=1) == 0).any():
        return float("nan")
    return float(stats.spearmanr(*pairs).statistic)


def _strengths(rows: Rows, datasets: set[str]) -> str:
    """Exact match before and after the stage by method and updates of pi_ref."""
    parts = []
    for dataset in sorted(datasets):
        own = [r for r in rows if r["dataset"] == dataset]
        priors = sorted({r["prior"] for r in own})
        shown = [m for m in _methods(own) if all(len(_values([r for r in own if r["prior"] == p], m, "score")) for p in priors)]
        lines = [["method", *(f"{p:,} updates: before, after" for p in priors)]]
        for name in shown:
            cells = []
            for p in priors:
                at = [r for r in own if r["prior"] == p]
                cells.append(", ".join(score_cell(_values(at, name, column)) for column in ("score", "rl_score")))
            lines.append([NAMES[name], *cells])
        parts += [f"**{dataset}**", "\n".join(markdown_rows(lines))]
    return "\n\n".join(parts)


def _forgetting(rows: Rows) -> str:
    """Exact match on both tasks of pi_ref, which has learned both, and of each method, which is fine-tuned on the first alone."""
    first, second = short(rows[0]["dataset"]), short(rows[0]["second"])
    lines = [["method", "weighs", f"{first}, fine-tuned", f"{second}, not seen again", "change of the second"]]
    start = {r["seed"]: r["second_score"] for r in rows if r["method"] == "bc"}
    for name in _methods(rows):
        own = [r for r in rows if r["method"] == name]
        change = np.array([r["second_score"] - start[r["seed"]] for r in own if r["seed"] in start])
        cells = [score_cell(_values(own, name, column)) for column in ("score", "second_score")]
        lines.append([NAMES[name], WEIGHS[name], *cells, score_cell(change) if len(change) and name != "bc" else "-"])
    words = f"{seeds_in(rows)} seeds, exact match. pi_ref has learned both tasks, in {rows[0]['prior']:,} updates; REINFORCE is left out."
    return "\n\n".join([words, "\n".join(markdown_rows(lines))])


def figure(rows: Rows) -> Figure:
    """Exact match before against after the stage, a panel for each data set and prior, a point for each method."""
    rows = [r for r in rows if not r["second"]]
    panels = list(dict.fromkeys((r["dataset"], r["prior"]) for r in rows))
    columns = min(2, len(panels))
    drawn = Figure(figsize=(WIDTH, 1.2 + 2.6 * -(-len(panels) // columns)))
    axes = drawn.subplots(-(-len(panels) // columns), columns, squeeze=False).ravel()
    style = looks(list(NAMES))
    for (dataset, prior), own in zip(panels, axes, strict=False):
        here = [r for r in rows if (r["dataset"], r["prior"]) == (dataset, prior)]
        for name in _methods(here):
            x, y = (_values(here, name, column).mean() for column in ("score", "rl_score"))
            own.plot([x], [y], linestyle="none", marker=style[name].marker, color=style[name].colour, markersize=5, label=NAMES[name])
        limits = {"xlim": own.get_xlim(), "ylim": own.get_ylim()}
        own.axline((0, 0), slope=1, color="0.7", linewidth=0.8)
        own.set(**limits, title=f"{short(dataset)}, pi_ref {prior:,}", xlabel="exact match before", ylabel="after REINFORCE")
    for own in axes[len(panels) :]:
        own.set_visible(False)
    drawn.legend(*axes[0].get_legend_handles_labels(), loc="outside lower center", ncols=4, fontsize="x-small")
    return drawn
