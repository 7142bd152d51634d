"""What report.html shows, gathered from run directories."""

from __future__ import annotations

import base64
import json
import re
from collections import Counter
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import jinja2
import numpy as np
import pandas as pd
from markupsafe import Markup

from bench.config.compose import defaults, difference
from bench.report.figures.curves import curve_of
from bench.report.figures.draw import CAPTIONS, draw
from bench.report.figures.style import INK, WIDTH
from bench.report.orientation import methods_are_rows
from bench.report.suite import board_of, suite_runs, tables_lock
from bench.report.tables import RULE, Line, lines
from bench.report.wanted import NOTHING, TableOptions, published_rows, refuse_mixed
from bench.results import few_seeds, published
from bench.results.episodes import reference_of
from bench.results.grid import Grid, Runs, config_of, grids, varied
from bench.results.leaderboard import COLUMNS
from bench.storage.files import write_atomic
from bench.storage.rundir import Row
from envs.data.selection import parse
from envs.errors import DataError
from envs.recorded.record import datasets_root

HERE = Path(__file__).parent
VIDEO_BYTES = 8_000_000  # a longer video is named, not embedded
PAGE_BYTES = 40_000_000  # of all videos together; those beyond it are named
VIDEOS = {".mp4": "video/mp4", ".webm": "video/webm", ".gif": "image/gif", ".webp": "image/webp"}
GROUPS = {
    "Over data sets": ("intervals", "profile", "cost", "improvement"),
    "Tuning": ("tuning",),
    "Learning curves": ("curve",),
    "Importance weights": ("weights",),
}
SHOWN = [
    "dataset", "algo", "selection", "score_mean", "score_ci_low", "score_ci_high", "score_iqm", "return_mean", "return_std", "seeds",
    "eval_episodes", "evaluations", "updates", "reference", "configs_tried", "wall_time_s",
]  # fmt: skip
assert set(SHOWN) <= set(COLUMNS)


def write_report(suite: Path, wanted: TableOptions = NOTHING) -> Path:
    """Write report.html of folder `suite`, and its figures; returns the page. Raises RunError if there is no finished run, and for runs
    that were not measured alike unless `wanted` says otherwise."""
    with tables_lock(suite).held():
        return _write(suite, wanted)


def _write(suite: Path, wanted: TableOptions) -> Path:
    runs = suite_runs(suite)
    records = [record for record, _ in runs]
    refuse_mixed(suite, records, wanted)
    svgs = draw(suite, runs)
    environment = jinja2.Environment(
        loader=jinja2.FileSystemLoader(HERE), autoescape=True, undefined=jinja2.StrictUndefined, trim_blocks=True, lstrip_blocks=True
    )
    page = environment.get_template("page.html").render(
        suite=suite.name, protocol=_protocol(runs), warnings=_warnings(suite, runs), tables=[_table(g) for g in grids(runs)], rule=RULE,
        board=_board(board_of(suite, runs, wanted.root)), published=published.sections(published_rows(records, wanted)),
        published_warning=published.WARNING, columns=SHOWN, figures=_figures(svgs),
        runs=_capped([_run(*run) for run in runs]), cards=_cards(runs),
        style=Markup((HERE / "style.css").read_text()),
        script=Markup((HERE / "script.js").read_text()),
    )  # fmt: skip
    path = suite / "report.html"
    write_atomic(path, page)
    return path


def _protocol(runs: Runs) -> list[tuple[str, str]]:
    """What was run, on what, when, and by what rule it is judged."""
    records = [record for record, _ in runs]

    def values(key: str) -> str:
        return ", ".join(sorted({str(r[key]) for r in records}))

    seeds = sorted({" ".join(map(str, r["seeds"])) for r in records})
    references = sorted({"none" if r["reference"] is None else r["reference"]["name"] for r in records})
    versions = sorted({", ".join(f"{name} {v}" for name, v in r["versions"].items()) for r in records})
    times = sorted(_when(r) for r in records)
    few = few_seeds.note([len(r["seeds"]) for r in records])
    return [
        ("Methods", values("algo")),
        ("Data sets", values("dataset")),
        ("Seeds", "; ".join(seeds)),
        ("Runs", f"{len(records)} finished, {sum(len(r['seeds']) for r in records)} seeds in all"),
        ("Updates", values("updates")),
        (
            "Evaluation",
            f"mean actions; {values('eval_episodes')} episodes a seed every {values('eval_every')} updates, starts fixed by seed",
        ),
        ("Selection", f"last iterate, {values('final_episodes')} episodes a seed; best and mean of the last k are in the table to compare"),
        ("Score", f"100 (return - random) / (expert - random); reference set: {', '.join(references)}"),
        ("Interval", "95 %: Student's t over seeds on a data set, stratified bootstrap over seeds for aggregates"),
        *([] if few is None else [("Few seeds", few)]),
        ("When", times[0] if times[0] == times[-1] else f"{times[0]} to {times[-1]}"),
        ("Device", values("device")),
        ("Code", values("code_revision")),
        ("Versions", "; ".join(versions)),
    ]


def _when(record: Row) -> str:
    """When a run finished: what run.json says, else when it was written."""
    if "finished_at" in record:
        return str(record["finished_at"])
    return datetime.fromtimestamp((Path(record["folder"]) / "run.json").stat().st_mtime, UTC).strftime("%Y-%m-%d %H:%M UTC")


def _warnings(suite: Path, runs: Runs) -> list[str]:
    """What a reader has to know before the numbers."""
    found = []
    for record, episodes in runs:
        name = f"{record['algo']} on {record['dataset']}"
        have = episodes[episodes["update"] == record["updates"]]["seed"].nunique()
        if have < len(record["seeds"]):
            found.append(f"{name}: {have} of {len(record['seeds'])} seeds")
        if record["failed_episodes"]:
            found.append(f"{name}: {record['failed_episodes']} episodes failed (no finite return) and count as score 0")
    cells = Counter((r["dataset"], r["algo"]) for r, _ in runs)
    datasets, algos = ({k[i] for k in cells} for i in (0, 1))
    for algo in sorted(algos):
        if missing := [d for d in sorted(datasets) if not cells[d, algo]]:
            found.append(f"{algo} on {', '.join(missing)}: no finished run")
    if unfinished := len(list(suite.glob("runs/*/run.json"))) - len(runs):
        found.append(f"{unfinished} runs are not finished and are left out")
    if (groups := len(grids(runs))) > 1:
        found.append(f"runs were measured in {groups} ways (reference family, episodes): a table each; figures show the largest group")
    digests = {(r["dataset"], r["dataset_digest"]) for r, _ in runs}
    found += [
        f"{d}: its runs were made of different data under that name" for d in sorted(datasets) if sum(d == name for name, _ in digests) > 1
    ]
    found += varied([r for r, _ in runs])
    if any(len(r["seeds"]) < 2 for r, _ in runs):
        found.append("runs with one seed have no interval and no test")
    if any(str(r["code_revision"]).endswith("-dirty") for r, _ in runs):
        found.append("some runs were made by code that differs from its commit (-dirty)")
    return found


def _table(grid: Grid) -> Row:
    """A grid's means for the page, in the same order as the tables for papers; with many methods, these are the rows."""

    def cell(line: Line, method: str) -> Row:
        if method not in line.cells:
            return {"text": "", "half": "", "flag": "", "bold": False}
        e = line.cells[method]
        digits = 0 if line.statistic == "mean return" else 1
        return {
            "text": "failed" if np.isnan(e.value) else f"{e.value:.{digits}f}",
            "half": "" if np.isnan(e.low) else f"{e.low:.{digits}f} to {e.high:.{digits}f}",
            "flag": line.flags.get(method, ""), "bold": method in line.bold,
        }  # fmt: skip

    names = {"mean": "", "iqm": " IQM", "mean return": " (raw return)"}
    found = list(lines(grid))
    titles = [line.name + (names[line.statistic] if line.statistic != "mean" or line.scope == "data set" else " mean") for line in found]
    cells = [[cell(line, method) for method in grid.methods] for line in found]
    episodes = ", ".join(sorted({str(r["final_episodes"]) for r in grid.records.values()}))
    corner, head, names_of_rows = "data set", grid.methods, titles
    if methods_are_rows(len(grid.methods), len(found)):
        corner, head, names_of_rows = "method", titles, grid.methods
        cells = [list(column) for column in zip(*cells, strict=True)]
    rows = [{"name": name, "cells": row} for name, row in zip(names_of_rows, cells, strict=True)]
    return {"corner": corner, "head": head, "rows": rows, "reference": grid.reference, "episodes": episodes}


def _board(board: pd.DataFrame) -> list[list[tuple[str, str]]]:
    """(text, sort key) of every cell."""

    def cell(value: Any) -> tuple[str, str]:
        if isinstance(value, float):
            return ("", "") if np.isnan(value) else (f"{value:.1f}", repr(value))
        return str(value), str(value)

    return [[cell(v) for v in row] for row in board[SHOWN].itertuples(index=False)]


def _figures(svgs: dict[str, str]) -> list[Row]:
    """Figures by kind, inline: their ink is the page's, so that they are readable in dark mode."""
    groups: dict[str, list[tuple[Markup, bool]]] = {}
    for name, svg in svgs.items():
        kind = name.split("-")[0]
        body = svg[svg.index("<svg") :].replace(INK, "currentColor")
        body = re.sub(r'(<g id="patch_1">\s*<path[^>]*?style=")fill: #ffffff', r"\1fill: none", body, count=1)
        body = re.sub(r'\bid="([^"]+)"', rf'id="{name}-\1"', body)
        body = re.sub(r'(xlink:href="#|url\(#)', rf"\g<1>{name}-", body)
        attributes = f'xmlns:xlink="http://www.w3.org/1999/xlink" role="img" aria-label="{name}"'
        points = float(re.search(r'viewBox="\S+ \S+ (\S+) ', body)[1])  # type: ignore[index]
        if wide := points > 72 * WIDTH + 1:  # its small print would be too small in a column
            attributes += f' style="width: clamp({1.2 * points:.0f}px, 100%, {1.5 * points:.0f}px)"'
        body = re.sub(r'<svg [^>]*?viewBox="([^"]+)"[^>]*>', rf'<svg viewBox="\1" {attributes}>', body)
        groups.setdefault(kind, []).append((Markup(body), wide))
    return [
        {"title": title, "figures": [(svg, wide, CAPTIONS[kind]) for kind in kinds for svg, wide in groups.get(kind, [])]}
        for title, kinds in GROUPS.items()
        if any(kind in groups for kind in kinds)
    ]


def _run(record: Row, episodes: pd.DataFrame) -> Row:
    """One run's drill-down."""
    folder, config = Path(record["folder"]), config_of(record)
    base = defaults(record["algo"])
    curve = curve_of(record, episodes)
    reference = reference_of(record)
    last = episodes[episodes["update"] == record["updates"]]
    raw = {str(seed): [_plain(v) for v in part["return"]] for seed, part in last.groupby("seed")}
    data = {"updates": [int(u) for u in curve.index], "seeds": {str(s): [_plain(v) for v in curve[s]] for s in curve}}
    means = last.groupby("seed")["return"].mean()
    scored = means if reference is None else reference.score(means.to_numpy())
    return {
        "title": f"{record['algo']} on {record['dataset']}", "hash": record["config_hash"],
        "value": f"{'return' if reference is None else 'score'} {float(np.mean(scored)):.1f}",
        "facts": [("code", record["code_revision"]), ("device", record["device"]), ("parameters", f"{record['parameters']:,}"),
                  ("wall time", f"{record.get('wall_time_s', float('nan')):.0f} s"), ("finished", _when(record)), ("folder", folder.name)],
        "known": bool(base), "difference": difference(config, base) if base and config else [],
        "raw": raw, "curve": json.dumps(data | {"label": "return" if reference is None else "score"}),
        "videos": _videos(folder),
    }  # fmt: skip


def _plain(value: float) -> float | None:
    return None if not np.isfinite(value) else float(f"{value:.6g}")


def _videos(folder: Path) -> list[Row]:
    found = []
    for path in sorted(p for p in folder.rglob("*") if p.suffix in VIDEOS and p.resolve().is_relative_to(folder.resolve())):
        small = path.stat().st_size <= VIDEO_BYTES
        content = f"data:{VIDEOS[path.suffix]};base64,{base64.b64encode(path.read_bytes()).decode()}" if small else ""
        found.append({"name": path.name, "source": content, "image": path.suffix in (".gif", ".webp")})
    return found


def _capped(runs: list[Row]) -> list[Row]:
    """`runs` with as many videos embedded as the page can carry."""
    carried = 0
    for video in (video for run in runs for video in run["videos"]):
        carried += len(video["source"])
        if carried > PAGE_BYTES:
            video["source"] = ""
    return runs


def _cards(runs: Runs) -> list[Row]:
    """What is known of every data set: from its runs, and from Minari's metadata where the data are here."""
    cards = []
    for dataset in sorted({record["dataset"] for record, _ in runs}):
        record = next(r for r, _ in runs if r["dataset"] == dataset)
        reference, metadata = record["reference"], _metadata(dataset)
        facts: list[tuple[str, str]] = [("digest", record["dataset_digest"])]
        for key, name in (("total_episodes", "episodes"), ("total_steps", "steps")):
            if key in metadata:
                facts.append((name, f"{int(metadata[key]):,}"))
        if isinstance(metadata.get("env_spec"), str):
            facts.append(("environment", str(json.loads(metadata["env_spec"]).get("id", ""))))
        facts.append(("mean return of its episodes", f"{record['data_return_mean']:.1f}"))
        if reference is None:
            facts.append(("reference", "none: raw returns are shown"))
        else:
            score = 100 * (record["data_return_mean"] - reference["random"]) / (reference["expert"] - reference["random"])
            facts.append(("their mean score", f"{score:.1f}"))
            facts.append(("reference", f"{reference['name']}: random {reference['random']:.1f}, expert {reference['expert']:.1f}"))
        facts.append(("clipped action entries", f"{record['clipped_actions']:.2%}"))
        facts += [(k, str(metadata[k])) for k in ("author", "algorithm_name", "description") if metadata.get(k)]
        cards.append({"name": dataset, "facts": facts})
    return cards


def _metadata(dataset: str) -> Row:
    """metadata.json of a data set that is here; empty where it is not, or where the record names something else."""
    try:
        (part,) = parse(dataset)
        found = {} if part.rules else json.loads((datasets_root() / part.dataset / "data" / "metadata.json").read_text())
    except (OSError, ValueError, DataError):
        return {}
    return found if isinstance(found, dict) else {}
