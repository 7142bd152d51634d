"""Quality: wrong labels, strata, share curated, number of trajectories: where quality weighting pays, and where importance weights do.

One factor at a time, the others as in `study ordering` (arXiv 2507.12856: D+ the best tenth, D_Q+ the strata 90, 95, 98). A wrong label is
an error added to the return before curation, in standard deviations of the returns. Fewer trajectories are spread evenly over the data.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace
from typing import Any

from matplotlib.figure import Figure

from bench.report.figures.style import WIDTH, looks, short
from bench.report.render import markdown_rows
from bench.results.statistics import summarise
from bench.studies.claims import NAMES, Claim, judge, score_cell, scores_of, sizes
from bench.studies.runs import Case, configured, results
from bench.studies.study import Found, Options

FORK = "iwsft/fork-v0"
DATASETS = {"iwsft/hopper/mixed-v0": 400, "iwsft/halfcheetah/mixed-v0": 200, "iwsft/walker2d/mixed-v0": 400, FORK: 400}
"""The most trajectories asked for, by data set."""
METHODS = ("sft", "sft_q", "iw_sft", "iw_sft_q")
FACTORS = {
    "error of the labels": (0.0, 0.25, 0.5, 1.0, 2.0), "share curated": (0.01, 0.05, 0.1, 0.25, 0.5), "strata": (1, 2, 3, 5),
    "trajectories": (10, 25, 50, 100, 200, 400),
}  # fmt: skip
STRATA = {1: [90], 2: [90, 95], 3: [90, 95, 98], 5: [50, 75, 90, 95, 98]}
PAIRS = (Claim("sft_q", "sft"), Claim("iw_sft", "sft"), Claim("iw_sft_q", "sft_q"))


def datasets() -> list[str]:
    """The data sets of continuous quality, and the fork."""
    return list(DATASETS)


def cases(toy: bool = False) -> list[Case]:
    """Every factor, level and method on every data set."""
    chosen, levels = ([FORK], {"error of the labels": (1.0,)}) if toy else (DATASETS, FACTORS)
    plain = {method: configured(f"algo={method}") for method in METHODS}
    found: list[Case] = []
    for dataset in chosen:
        for factor, own in levels.items():
            for level in (x for x in own if factor != "trajectories" or x <= DATASETS[dataset]):
                found += _cases(plain, dataset, factor, level)
    return found


def _cases(plain: dict[str, Any], dataset: str, factor: str, level: float) -> Iterator[Case]:
    """The methods at one level of a factor. Strata and the share curated are those of SFT(Q) and SFT: with and without weights."""
    for method, config in plain.items():
        curation, name = config.algo.curation, dataset
        if factor == "error of the labels":
            curation = replace(curation, noise=float(level))
        elif factor == "trajectories":
            name = f"{dataset}@sample:{level}"
        elif method.endswith("_q") != (factor == "strata"):
            continue
        else:
            curation = replace(curation, percentiles=STRATA[int(level)] if factor == "strata" else [100 * (1 - level)])
        labels = {"of": dataset, "factor": factor, "level": level, "method": method}
        yield Case(replace(config, dataset=name, algo=replace(config.algo, curation=curation)), labels, dataset)


def study(options: Options) -> Found:
    rows = results("quality", cases(options.toy), options)
    parts = [f"{sizes(rows, list(DATASETS), 'of')} Claims as in `study ordering`: the interval of P (one run above another) decides."]
    for dataset in dict.fromkeys(row["of"] for row in rows):
        for factor in dict.fromkeys(row["factor"] for row in rows if row["of"] == dataset):
            own = [row for row in rows if (row["of"], row["factor"]) == (dataset, factor)]
            parts += [f"**{dataset}, {factor}**", _table(own), _words(own)]
    return Found(rows, _figure(rows), "\n\n".join(parts))


def _by_level(rows: Sequence[dict[str, Any]]) -> dict[str, dict[str, Any]]:
    """Scores by level and method."""
    return scores_of([{**row, "dataset": f"{row['level']:g}"} for row in rows])


def _table(rows: Sequence[dict[str, Any]]) -> str:
    levels = _by_level(rows)
    shown = [m for m in METHODS if any(m in own for own in levels.values())]
    body = [[level, *(score_cell(own[m]) if m in own else "-" for m in shown)] for level, own in sorted(levels.items(), key=_number)]
    return "\n".join(markdown_rows([[rows[0]["factor"], *(NAMES[m] for m in shown)], *body]))


def _words(rows: Sequence[dict[str, Any]]) -> str:
    """For each pair of methods: the levels at which one is better."""
    levels, found = dict(sorted(_by_level(rows).items(), key=_number)), []
    for claim in PAIRS:
        judged = {level: t for level in levels if (t := judge(claim, levels, [level])) is not None}
        by = {f: [level for level, t in judged.items() if t.finding == f] for f in dict.fromkeys(t.finding for t in judged.values())}
        if judged:
            found.append(f"* {claim}: " + "; ".join(f"{finding} at {', '.join(own)}" for finding, own in by.items()) + ".")
    return "\n".join(found)


def _number(item: tuple[str, Any]) -> float:
    return float(item[0])


def _figure(rows: Sequence[dict[str, Any]]) -> Figure:
    """Score against the level of each factor (columns), for each data set (rows)."""
    of, factors = (list(dict.fromkeys(row[name] for row in rows)) for name in ("of", "factor"))
    figure = Figure(figsize=(max(WIDTH, 2.4 * len(factors)), 0.8 + 1.9 * len(of)))
    panels = figure.subplots(len(of), len(factors), squeeze=False, sharey="row")
    style = looks(METHODS)
    for i, dataset in enumerate(of):
        for j, factor in enumerate(factors):
            axes = panels[i, j]
            own = dict(sorted(_by_level([r for r in rows if (r["of"], r["factor"]) == (dataset, factor)]).items(), key=_number))
            for method in METHODS:
                points = [(k, summarise(values[method])) for k, values in enumerate(own.values()) if method in values]
                error = [0.0 if point.high != point.high else point.high - point.mean for _, point in points]
                axes.errorbar(
                    [k for k, _ in points], [p.mean for _, p in points], yerr=error, label=NAMES[method], color=style[method].colour,
                    marker=style[method].marker, markersize=3, linewidth=1, elinewidth=0.6,
                )  # fmt: skip
            axes.set_xticks(range(len(own)), own)
            axes.set(title=short(dataset) if j == 0 else "", xlabel=factor if i == len(of) - 1 else "", ylabel="score" if j == 0 else "")
    figure.legend(*panels[0, 0].get_legend_handles_labels(), loc="outside lower center", ncols=len(METHODS))
    return figure
