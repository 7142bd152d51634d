"""Details of every run on the page: settings, learning curve, raw returns, films."""

from __future__ import annotations

import json
from collections.abc import Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from bench.config.tree import difference
from bench.numbers import spell_return
from bench.report.page.films import LIMITS, Limits, embedded_films
from bench.report.page.method_defaults import defaults_of
from bench.report.tables import ACTIONS, NOT_PLAYED
from bench.results.episodes import learning_curve, reference_of, selected
from bench.results.levelling import levelled_off
from bench.results.names import method_names
from bench.results.pooling import by_actions
from bench.results.runs import Runs
from bench.storage.layout import Row


def run_details(runs: Runs, limits: Limits = LIMITS) -> list[Row]:
    """Title, facts, settings, raw returns, learning curve and films of each run."""
    films = embedded_films([Path(record["folder"]) for record, _ in runs], limits)
    names = method_names([record for record, _ in runs])
    defaults = defaults_of({record["algo"] for record, _ in runs})
    details = (_details(*run, name, defaults[run[0]["algo"]]) for run, name in zip(runs, names, strict=True))
    return [own | {"films": found} for own, found in zip(details, films, strict=True)]


def _details(record: Row, episodes: pd.DataFrame, method: str, defaults: Mapping[str, Any]) -> Row:
    differing = _differing(record, defaults)
    curve = learning_curve(record, episodes)
    reference = reference_of(record)
    used = selected(record, episodes)
    final = used["update"].to_numpy() == record["updates"]
    seeds, returns = used["seed"].to_numpy()[final], used["return"].to_numpy()[final]
    means = _seed_means(seeds, returns)
    quantity = "return" if reference is None else "score"

    def value(means: np.ndarray) -> str:
        scored = means if reference is None else reference.score(means)
        return f"{quantity} {_spelled(float(np.mean(scored)), reference is None)}"

    results = [(r, _final_means(record, e)) for r, e in by_actions((record, episodes))]
    by_mode = [(ACTIONS[r["actions"]], value(found)) for r, found in results if len(found)]
    by_seed = {str(seed): list(map(_number, values)) for seed, values in zip(curve, curve.to_numpy().T.tolist(), strict=True)}
    points = {"updates": [int(u) for u in curve.index], "seeds": by_seed, "label": quantity}
    return {
        "title": f"{method} on {record['dataset']}", "hash": record["config_hash"],
        "value": value(means) if len(means) else NOT_PLAYED,
        "facts": [
            *by_mode,
            ("code", record["code_revision"]), ("device", record["device"]), ("parameters", f"{record['parameters']:,}"),
            ("levelled off", {True: "yes", False: "no, it still rises", None: "not judged"}[levelled_off(record, episodes)]),
            ("wall time", f"{record.get('wall_time_s', float('nan')):.0f} s"), ("finished", finished_at(record)),
            ("folder", Path(record["folder"]).name),
        ],
        "known": differing is not None, "difference": differing or [],
        "raw": {str(seed): list(map(_number, returns[seeds == seed].tolist())) for seed in np.unique(seeds)}, "curve": json.dumps(points),
    }  # fmt: skip


def _final_means(record: Row, episodes: pd.DataFrame) -> np.ndarray:
    """Each seed's mean return of the final episodes."""
    final = episodes["update"].to_numpy() == record["updates"]
    return _seed_means(episodes["seed"].to_numpy()[final], episodes["return"].to_numpy()[final])


def _seed_means(seeds: np.ndarray, returns: np.ndarray) -> np.ndarray:
    """The mean return of each seed, without failed episodes."""
    played = np.isfinite(returns)
    return np.array([returns[(seeds == seed) & played].mean() if played[seeds == seed].any() else np.nan for seed in np.unique(seeds)])


def _differing(record: Row, defaults: Mapping[str, Any]) -> list[tuple[str, str, str]] | None:
    """(key, the method's default, the run's value) of every setting that differs; None for a method without defaults here."""
    if not record["config"]:
        return []
    return difference(record["config"], defaults) if defaults else None


def finished_at(record: Row) -> str:
    """Time at which a run finished: from run.json, else that of the file."""
    if "finished_at" in record:
        return str(record["finished_at"])
    return datetime.fromtimestamp((Path(record["folder"]) / "run.json").stat().st_mtime, UTC).strftime("%Y-%m-%d %H:%M UTC")


def _spelled(value: float, is_return: bool) -> str:
    return spell_return(value) if is_return else f"{value:.1f}"


def _number(value: float) -> float | None:
    return None if not np.isfinite(value) else float(f"{value:.6g}")
