"""Importance weights: rule, temperature, floor of the effective sample size, rate of q, sampler; effective sample size against score.

iw-SFT as in arXiv 2507.12856, section 4, with every other setting that of the paper's fine-tuning. Settings are compared, and one is
chosen, on TUNING alone, by the score of sampled actions: the objective is about the stochastic policy, and with the mean action SFT is near
the ceiling of these sets. The default, the authors' rule and SFT are then reported on REPORTED, which no choice has seen. The fork has all
settings too, as a second look, and batches of whole trajectories, which cost a thousand steps each on MuJoCo.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from matplotlib.figure import Figure
from scipy import stats

from bench.report.figures.style import COLOURS, MARKERS, WIDTH, short
from bench.report.render import markdown_row
from bench.results.statistics import summarise
from bench.studies.claims import ACTIONS, Claim, judge, score_cell, scores_of, sizes
from bench.studies.runs import Case, configured, on, results
from bench.studies.study import Found, Options

TUNING = "iwsft/hopper/mixed-v0"
REPORTED = ("iwsft/halfcheetah/mixed-v0", "iwsft/walker2d/mixed-v0")
FORK = "iwsft/fork-v0"
SFT, DEFAULT, AUTHORS = "SFT", "default", "authors, temperature 10"
CHOICE = "score_sampled"  # the column that settings are compared by
WHOLE = 8  # trajectories of a batch of whole ones: 256 steps of the fork, as many as a batch of transitions


def datasets() -> list[str]:
    """The data sets, that of the choice first."""
    return [TUNING, FORK, *REPORTED]


def settings() -> dict[str, tuple[str, ...]]:
    """The compared settings by name, as overrides of `algo=iw_sft`: the most telling first, those of one population side by side."""
    free = ("algo.weighting.min_ess=0", "algo.weighting.min_trajectories=0")
    authors, steps = "algo.weighting.rule=authors", ("algo.weighting.kind=step", "algo.weighting.min_trajectories=0")
    pareto = ("algo.weighting.rule=pareto", "algo.weighting.min_trajectories=0")
    found: dict[str, tuple[str, ...]] = {DEFAULT: (), "tempered, floor 0.5": ("algo.weighting.min_ess=0.5",)}
    found["tempered, no floor, temperature 10"] = free
    found["tempered, floor 0.2"] = ("algo.weighting.min_ess=0.2",)
    found |= {f"tempered, no floor, temperature {t}": (f"algo.weighting.temperature={t}", *free) for t in (2, 1)}
    found |= {f"authors, temperature {t}": (authors, f"algo.weighting.temperature={t}") for t in (10, 4, 2)}
    found["tempered, no floor, temperature 4"] = ("algo.weighting.temperature=4", *free)
    found |= {f"tempered, floor {f:g}": (f"algo.weighting.min_ess={f:g}",) for f in (0.05, 0.1)}
    found |= {f"tempered, rate of q {rate:g}": (f"algo.weighting.ema_rate={rate:g}",) for rate in (0.01, 1)}
    found["pareto, temperature 10"] = pareto
    found["pareto, temperature 2"] = (*pareto, "algo.weighting.temperature=2")
    found["tempered, defensive 0.2"] = (*free, "algo.weighting.defensive=0.2")
    found |= {"steps, tempered": steps, "steps, authors": (*steps, authors, "algo.weighting.maximum=2")}
    return found


def cases(toy: bool = False) -> list[Case]:
    """SFT and every setting on the data sets."""
    sft = _case(SFT, "algo=sft")
    iw = {name: _case(name, "algo=iw_sft", *overrides) for name, overrides in settings().items()}
    whole = ("algo.sampler=trajectories", f"algo.batch_size={WHOLE}")
    sampled = [_case(f"{name}, whole trajectories", *given, *whole) for name, given in ((SFT, ("algo=sft",)), (DEFAULT, ("algo=iw_sft",)))]
    if toy:
        return on([FORK], [sft, iw[DEFAULT], iw[AUTHORS]])
    every = [sft, *iw.values()]
    return [*on([TUNING], every), *on([FORK], [*every, *sampled]), *on(REPORTED, [sft, iw[DEFAULT], iw[AUTHORS]])]


def _case(name: str, *overrides: str) -> Case:
    return Case(configured(*overrides), {"setting": name})


def study(options: Options) -> Found:
    rows = results("weights", cases(options.toy), options)
    parts = [f"{sizes(rows, datasets())} Updates: pi_ref 10,000, fine-tuning 4,500 at a learning rate of 4e-4."]
    for dataset in dict.fromkeys(row["dataset"] for row in rows):
        parts += [f"**{dataset}**{' (the choice)' if dataset == TUNING else ''}", _table([r for r in rows if r["dataset"] == dataset])]
    return Found(rows, _figure(rows), "\n\n".join([*parts, *_words(rows)]))


def _table(rows: Sequence[dict[str, Any]]) -> str:
    """The settings of one data set, best score with sampled actions first; tests are of these."""
    scores, mean = (scores_of(rows, column, "setting")[rows[0]["dataset"]] for column in (CHOICE, "score"))
    head = ["setting", "sampled actions", "mean action", "ESS", "at a clip", "P(above SFT)", "difference", "finding"]
    lines = [markdown_row(head), markdown_row(["---", *["---:"] * (len(head) - 2), "---"])]
    for name in sorted(scores, key=lambda name: -scores[name].mean()):
        own = [row for row in rows if row["setting"] == name]
        share = [_percent(np.mean([row[column] for row in own])) for column in ("weight_ess", "weight_clipped")]
        tested = None if name == SFT else judge(Claim(name, SFT), {"": scores})
        cells = ["", "", ""] if tested is None else [*tested.cells[:2], _verb(tested.finding)]
        lines.append(markdown_row([name, score_cell(scores[name]), score_cell(mean[name]), *share, *cells]))
    return "\n".join(lines)


def _words(rows: Sequence[dict[str, Any]]) -> list[str]:
    """The verdict on the rows, in words chosen by their intervals."""
    found = []
    scores = scores_of(rows, CHOICE, "setting")
    if TUNING in scores:
        own = {name: values for name, values in scores[TUNING].items() if name != SFT}
        best = max(own, key=lambda name: float(own[name].mean()))
        found.append(
            f"On {TUNING} {len(own)} configurations of iw-SFT were tried. With sampled actions the best mean is that of '{best}', "
            f"{score_cell(own[best])}."
        )
        if best != DEFAULT and (tested := judge(Claim(best, DEFAULT), {TUNING: own})) is not None:
            p, difference, finding = tested.cells
            found.append(
                f"Against the default ({score_cell(own[DEFAULT])}): P(better) {p}, difference {difference}: {_verb(finding)}. The best of "
                f"{len(own)} means flatters itself; the intervals are those of one comparison chosen in advance."
            )
        spread = [row for row in rows if row["dataset"] == TUNING and np.isfinite(row["weight_ess"])]
        found.append(_correlation(spread))
    for column, actions in reversed(ACTIONS.items()):
        scores = scores_of(rows, column, "setting")
        for dataset in (d for d in (*REPORTED, FORK) if d in scores):
            for better, worse in ((DEFAULT, SFT), (DEFAULT, AUTHORS)):
                if (tested := judge(Claim(better, worse), scores, [dataset])) is not None:
                    p, difference, finding = tested.cells
                    found.append(f"{dataset}, {actions}, {better} against {worse}: P(better) {p}, {difference}: {_verb(finding)}.")
    return found


def _verb(finding: str) -> str:
    return {"holds": "better", "the opposite is seen": "worse"}.get(finding, finding)


def _correlation(rows: Sequence[dict[str, Any]]) -> str:
    """Rank correlation over settings of effective sample size and score."""
    names = list(dict.fromkeys(row["setting"] for row in rows))
    ess, score = ([np.mean([r[c] for r in rows if r["setting"] == n]) for n in names] for c in ("weight_ess", CHOICE))
    if len(names) < 3:
        return ""
    found = float(stats.spearmanr(ess, score).statistic)
    return f"The rank correlation of effective sample size and score with sampled actions over {len(names)} settings is {found:+.2f}."


def _percent(share: float) -> str:
    return "" if np.isnan(share) else f"{share:.0%}"


def _figure(rows: Sequence[dict[str, Any]]) -> Figure:
    """Effective sample size against score, a panel for each data set; the line is SFT."""
    names = list(dict.fromkeys(row["dataset"] for row in rows))
    figure = Figure(figsize=(WIDTH, 0.8 + 2.4 * len(names)))
    panels = figure.subplots(len(names), 1, squeeze=False)[:, 0]
    for dataset, axes in zip(names, panels, strict=True):
        own = [row for row in rows if row["dataset"] == dataset]
        scores = scores_of(own, CHOICE, "setting")[dataset]
        for name, values in scores.items():
            ess = float(np.mean([row["weight_ess"] for row in own if row["setting"] == name]))
            if np.isnan(ess):
                if name == SFT:
                    axes.axhline(values.mean(), color=COLOURS[0], linestyle="--", linewidth=1, label=SFT)
                continue
            kind = KINDS.index(name.split(",")[0])
            axes.errorbar(
                [ess], [values.mean()], yerr=None if len(values) < 2 else [summarise(values).high - values.mean()],
                color=COLOURS[kind + 1], marker=MARKERS[kind], markersize=4, linestyle="none", linewidth=0.8, label=KINDS[kind],
            )  # fmt: skip
        axes.set(title=short(dataset), ylabel="score, sampled actions", xlim=(0, 1.03))
    panels[-1].set_xlabel("effective sample size of the weights, share")
    shown = dict(zip(*reversed(panels[0].get_legend_handles_labels()), strict=True))
    figure.legend(shown.values(), shown.keys(), loc="outside lower center", ncols=3)
    return figure


KINDS = (DEFAULT, "tempered", "authors", "pareto", "steps")
"""Beginnings of the names of settings, in the order of colours."""
