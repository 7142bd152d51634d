"""Runs that differ in seeds alone are one result: seeds that were run in portions are pooled."""

from __future__ import annotations

import sys
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

import pandas as pd

from bench.config.estimates import NONE
from bench.config.tree import flat
from bench.errors import RunError
from bench.results.episodes import failed, of_mode, selected
from bench.results.levelling import levelled_off
from bench.results.runs import Run, Runs, read_curve
from bench.storage.layout import Row, digest_of
from envs.untrusted import clean

PLACE = (
    "seeds", "suite", "results_dir", "force", "logger.", "device", "population", "report.", "objective", "eval.workers", "eval.overlap",
    "trainer.engine", "trainer.processes", "trainer.checkpoint_minutes", "trainer.max_members",
)  # fmt: skip
"""Beginnings of the keys that do not tell one result from another."""


class Portion(NamedTuple):
    """A run directory, and the seeds that a pooled run takes from it."""

    folder: str
    seeds: list[int]


def method_key(record: Row) -> str:
    """A digest that is equal for runs that differ in seeds alone: of the computed `method_hash`, or of config.yaml where another version of
    the suite wrote the run, so that its hashes cannot be computed."""
    method = record["method_hash"] if record.get("hashes_checked") else None
    if method is None and record["config"]:
        settings = {k: v for k, v in flat(record["config"]).items() if not k.startswith(PLACE)}
        method = (settings, record["dataset_digest"], record.get("precision"), record["device"] == "cpu")
    protocol = [record[k] for k in ("dataset", "updates", "final_episodes", "eval_episodes", "last_k", "reference")]
    return digest_of((method or record["config_hash"], protocol))


def pooled(runs: Runs) -> list[Run]:
    """`runs`, with those that differ in seeds alone joined into one, in the order of their first ones.

    A seed of several of them counts once: the run with the most seeds has it. The record of a pooled run has the seeds of all, their
    hashes separated by blanks, the sum of their times, and `portions`: what came from which directory. Results of mean actions and of
    sampled ones are apart (`by_actions`); a result without a curve of its own has the `levelled_off` of the same policies' curve.
    """
    if all("portions" in record for record, _ in runs):  # pooled before
        return list(runs)
    groups: dict[tuple[str, str], list[Run]] = {}
    for record, episodes in (part for run in runs for part in by_actions(run)):
        groups.setdefault((method_key(record), record["actions"]), []).append((record, episodes))
    found = {key: _joined(group) for key, group in groups.items()}
    for (method, actions), (record, episodes) in found.items():
        curve = found[method, "mean" if record.get("final_only") else actions]
        found[method, actions] = record | {"levelled_off": levelled_off(*curve)}, episodes
    return list(found.values())


def each_once(runs: Runs) -> list[Run]:
    """`pooled`, without the second result of a run with eval.actions=both: for what is counted once a run, such as its time."""
    return [run for run in pooled(runs) if not run[0].get("final_only")]


def by_actions(run: Run) -> list[Run]:
    """A run as results of one kind of actions each: one, or two with eval.actions=both, whose second has the last evaluation alone."""
    record, episodes = run
    actions = record.get("actions", "mean")
    if actions != "both":
        return [(record | {"actions": actions}, selected(record, episodes))]
    parts = [(name, of_mode(episodes, name == "sampled")) for name in ("mean", "sampled")]
    return [
        (record | {"actions": name, "final_only": name == "sampled", "failed_episodes": int(failed(rows).sum())}, rows)
        for name, rows in parts
    ]


def _joined(group: Runs) -> Run:
    """One run of all seeds of `group`."""
    if len(group) == 1:
        ((record, episodes),) = group
        return record | {"portions": [Portion(record["folder"], list(record["seeds"]))]}, episodes
    taken: set[int] = set()
    parts: list[tuple[Row, pd.DataFrame, list[int]]] = []
    for record, episodes in sorted(group, key=lambda run: -len(run[0]["seeds"])):
        played = record["final_episodes"] > 0  # a run without an environment has no episodes
        final = set(episodes.loc[episodes["update"] == record["updates"], "seed"]) if played else set(record["seeds"])
        seeds = [s for s in record["seeds"] if s not in taken and s in final]
        taken |= set(seeds)
        if seeds:
            parts.append((record, episodes[episodes["seed"].isin(seeds)], seeds))
    first = group[0][0]
    rows = pd.concat([rows for _, rows, _ in parts]).sort_values(["update", "seed", "episode"], kind="stable", ignore_index=True)
    records = [record for record, _, _ in parts]
    return first | {
        "seeds": sorted({seed for record, _ in group for seed in record["seeds"]}),
        "config_hash": " ".join(dict.fromkeys(record["config_hash"] for record, _ in group)),
        "wall_time_s": sum(r["wall_time_s"] for r in records),
        "seconds": summed(r.get("seconds", {}) for r in records),
        "code_revision": " ".join(_values(records, "code_revision")),
        "failed_episodes": int(failed(rows).sum()),
        "kept_policies": all(r.get("kept_policies") for r in records),
        "chosen_by": next((by for r in records if (by := r.get("chosen_by", NONE)) != NONE), NONE),  # one choice biases the whole result
        "portions": [Portion(record["folder"], seeds) for record, _, seeds in parts],
        **_weights(records),
    }, rows


def summed(seconds: Iterable[Mapping[str, float]]) -> dict[str, float]:
    """The sum of seconds by phase."""
    found: dict[str, float] = {}
    for own in seconds:
        for phase, value in own.items():
            found[phase] = found.get(phase, 0.0) + value
    return found


def _weights(records: Sequence[Row]) -> Row:
    """The entry `weights` of a pooled run: means weighted by seeds, the first updates of the faults; nothing unless all have one."""
    if not all("weights" in record for record in records):
        return {}
    seeds = [len(record["seeds"]) for record in records]
    found = {key: sum(n * r["weights"][key] for n, r in zip(seeds, records, strict=True)) / sum(seeds) for key in ("ess", "clipped")}
    faults = {key: [r["weights"][key] for r in records if key in r["weights"]] for key in ("saturated", "collapsed")}
    return {"weights": found | {key: min(updates) for key, updates in faults.items() if updates}}


def _values(records: Sequence[Row], key: str) -> list[str]:
    return list(dict.fromkeys(str(r[key]) for r in records))


def metrics_of(record: Row) -> pd.DataFrame | None:
    """curve.csv (metrics by update and seed) of a pooled run; None if a portion has none, or one that cannot be read."""
    tables = []
    for folder, seeds in record["portions"]:
        if not (Path(folder) / "curve.csv").exists():
            return None
        try:
            table = read_curve(Path(folder))
        except RunError as error:
            print(f"no metrics: {clean(str(error))}", file=sys.stderr, flush=True)
            return None
        tables.append(table[table["seed"].isin(seeds)])
    return pd.concat(tables, ignore_index=True)
