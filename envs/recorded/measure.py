"""Measurement of a behaviour policy: mean return of every snapshot, the medium snapshot, reference returns."""

from __future__ import annotations

import numpy as np
from rich.progress import track

from envs.recorded.episodes import RANDOM, Job, run_episodes
from envs.recorded.policy import record_of

EPISODES = 20
REFERENCE_EPISODES = 100
MEASURED_FROM = 1_000_000  # first episode number: data sets use lower ones, so references are measured on other episodes


def nearest_to_share(returns: list[float], share: float) -> int:
    """The number of the snapshot whose mean return is nearest to `share` of the last snapshot's."""
    return int(np.abs(np.asarray(returns) - share * returns[-1]).argmin())


def measure(name: str) -> dict:
    """The record of `name` with the measurements added; returns are raw and undiscounted."""
    record = record_of(name)
    env_id, last = record["settings"]["env"], len(record.get("snapshot_updates") or record["settings"]["pull"]) - 1
    counts = dict.fromkeys(range(last), EPISODES) | {last: REFERENCE_EPISODES, RANDOM: REFERENCE_EPISODES}
    jobs = [Job(name, env_id, snapshot, MEASURED_FROM + i) for snapshot, count in counts.items() for i in range(count)]
    returns: dict[int, list[float]] = {snapshot: [] for snapshot in counts}
    for episode in track(run_episodes(jobs), f"measuring {name}", len(jobs)):
        returns[episode.job.snapshot].append(float(episode.rewards.sum()))
    means = [round(float(np.mean(returns[k])), 3) for k in range(last + 1)]
    medium = nearest_to_share(means, 0.4)

    def reference(snapshot: int) -> dict:
        values = returns[snapshot]
        return {"mean": float(np.mean(values)), "std": float(np.std(values, ddof=1)), "episodes": len(values)}

    return record | {
        "snapshot_returns": means,
        "snapshot_episodes": EPISODES,
        "medium": medium,
        "reference": {"random": reference(RANDOM), "expert": reference(last)},
    }
