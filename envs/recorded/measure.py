"""Measurement of a behaviour policy: mean return of every snapshot, the medium snapshot, reference returns.

Data are recorded with action noise, so `medium` is chosen by returns with noise. Reference returns are those of the mean action, which is
how learners are evaluated: score 100 is the best snapshot's mean action. Its snapshot is chosen and its return is measured on different
episodes, since the best of many noisy means is too high.
"""

from __future__ import annotations

import csv
import io
from collections.abc import Mapping
from contextlib import closing
from typing import Any

import numpy as np
from rich.progress import track

from envs.data.references import BUILT_IN_TABLE, built_in_table, forget_tables
from envs.files import write_atomic, write_json
from envs.recorded.episodes import RANDOM, Job, run_episodes
from envs.recorded.policy import SNAPSHOTS, record_of

EPISODES = 20  # with noise, of every snapshot but the last
LAST_EPISODES = 100  # with noise, of the last snapshot, which sets the scale of `medium`
MEAN_ACTION_EPISODES = 40  # of every snapshot, to choose the expert
REFERENCE_EPISODES = 400  # of the random policy and of the expert
MEASURED_FROM = 1_000_000  # first episode number: data sets use lower ones, so references are measured on other episodes
REFERENCES_FROM = 2_000_000  # the same for the reference returns


def nearest_to_share(returns: list[float], share: float) -> int:
    """The number of the snapshot whose mean return is nearest to `share` of the last snapshot's."""
    return int(np.abs(np.asarray(returns) - share * returns[-1]).argmin())


def measure_snapshots(name: str) -> dict[str, Any]:
    """The part of the record of `name` that chooses its data: mean return of every snapshot with noise, and the medium snapshot.

    Returns here and below are raw and undiscounted.
    """
    record, snapshots = record_of(name), _snapshots(name)
    counts = dict.fromkeys(snapshots, EPISODES) | {snapshots[-1]: LAST_EPISODES}
    returns = _returns(record, name, counts, MEASURED_FROM)
    means = [round(float(np.mean(returns[k])), 3) for k in snapshots]
    return {"snapshot_returns": means, "snapshot_episodes": EPISODES, "medium": nearest_to_share(means, 0.4)}


def measure_references(name: str) -> dict[str, Any]:
    """The part of the record of `name` that holds its reference returns: mean, standard deviation, standard error, episodes.

    `random`: actions uniform within the bounds. `expert`: the mean action of the snapshot whose mean action returns most.
    """
    record, snapshots = record_of(name), _snapshots(name)
    chosen_on = _returns(record, name, dict.fromkeys(snapshots, MEAN_ACTION_EPISODES), MEASURED_FROM, mean=True)
    means = [round(float(np.mean(chosen_on[k])), 3) for k in snapshots]
    # The last of equal ones: of two controllers that always succeed, the stronger.
    expert = max(snapshots, key=lambda k: (means[k], k))
    random = _returns(record, name, {RANDOM: REFERENCE_EPISODES}, REFERENCES_FROM)[RANDOM]
    best = _returns(record, name, {expert: REFERENCE_EPISODES}, REFERENCES_FROM, mean=True)[expert]
    return {
        "mean_action_returns": means,
        "mean_action_episodes": MEAN_ACTION_EPISODES,
        "reference": {"random": _summary(random), "expert": _summary(best) | {"snapshot": expert, "action": "mean"}},
    }


def write_references(name: str, found: dict[str, Any]) -> None:
    """Write `found`, the result of `measure_references` for behaviour `name`, to its record and to the table of references."""
    record = record_of(name) | found
    random, expert = (record["reference"][k] for k in ("random", "expert"))
    of = f"{'snapshot' if 'snapshot_updates' in record else 'level'} {expert['snapshot']} (envs/recorded/snapshots/{name}.json)"
    row = {
        "name": name, "env_id": record["settings"]["env"],
        "random": random["mean"], "random_error": random["error"], "expert": expert["mean"], "expert_error": expert["error"],
        "source": f"measured: {random['episodes']} episodes each of uniform random actions and of the mean action of {of}",
    }  # fmt: skip
    rows = [row if old["name"] == name else old for old in built_in_table()]
    text = io.StringIO()
    writer = csv.DictWriter(text, list(row), lineterminator="\n")
    writer.writeheader()
    writer.writerows(rows if row in rows else [*rows, row])
    write_json(SNAPSHOTS / f"{name}.json", record)
    write_atomic(BUILT_IN_TABLE, text.getvalue())
    forget_tables()


def _snapshots(name: str) -> range:
    record = record_of(name)
    return range(record["settings"].get("levels") or len(record.get("snapshot_updates") or record["settings"]["pull"]))


def _returns(record: dict[str, Any], name: str, counts: Mapping[int, int], start: int, mean: bool = False) -> dict[int, list[float]]:
    """Returns of `counts[snapshot]` episodes of each snapshot, numbered from `start`."""
    jobs = [Job(name, record["settings"]["env"], snapshot, start + i, mean) for snapshot, count in counts.items() for i in range(count)]
    returns: dict[int, list[float]] = {snapshot: [] for snapshot in counts}
    with closing(run_episodes(jobs)) as played:
        for episode in track(played, f"measuring {name}", len(jobs)):
            returns[episode.job.snapshot].append(float(episode.rewards.sum()))
    return returns


def _summary(returns: list[float]) -> dict[str, float]:
    std = float(np.std(returns, ddof=1))
    return {"mean": float(np.mean(returns)), "std": std, "error": std / len(returns) ** 0.5, "episodes": len(returns)}
