"""Evaluation episodes of a run: read, checked, and reduced to one value per seed by each selection rule.

last          mean over the final episodes of the last iterate
best          the best evaluation during training (its first `eval_episodes` episodes); flatters methods that are evaluated often
mean_last_k   mean over the last k evaluations
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd

from bench.errors import RunError
from bench.results.csv_files import read_numbers
from bench.storage.layout import EPISODE_COLUMNS, SUCCESS, Row
from envs.data.references import Reference


def read_episodes(folder: Path, record: Row) -> pd.DataFrame:
    """Read episodes.csv of a finished run. Raises RunError, naming the row, for missing or repeated episodes and for what is no number.

    A seed without any final episode is no error here: tables show the number of seeds found. A run without an environment has no episode.
    """
    rows = read_numbers(folder, "episodes.csv", EPISODE_COLUMNS, (SUCCESS,))
    if (twice := rows.duplicated(["update", "seed", "episode"])).any():
        row, line = rows[twice].iloc[0], int(twice.to_numpy().argmax()) + 2
        raise RunError(
            f"{folder}/episodes.csv, line {line}: repeats update {row['update']:.0f}, seed {row['seed']:.0f}, "
            f"episode {row['episode']:.0f}; run it again with force=true"
        )
    if not record["final_episodes"]:
        if len(rows):
            raise RunError(f"{folder}/episodes.csv: has episodes, run.json says that none was played; run it again with force=true")
        return rows.astype(dict.fromkeys(rows.columns, float))
    final = rows[rows["update"] == record["updates"]].groupby("seed").size()
    if not len(final):
        raise RunError(f"{folder}/episodes.csv: no episode after update {record['updates']}, the last; run it again with force=true")
    if (final != record["final_episodes"]).any():
        seed = final.index[final != record["final_episodes"]][0]
        raise RunError(
            f"{folder}/episodes.csv: seed {seed} has {final[seed]} of {record['final_episodes']} final episodes; "
            f"run it again with force=true"
        )
    return rows


def failed(episodes: pd.DataFrame) -> pd.Series:
    """True for every episode that failed: its return is no finite number."""
    return ~np.isfinite(episodes["return"])


def failures_as_random(record: Row, episodes: pd.DataFrame) -> pd.DataFrame:
    """`episodes` with the return of a random policy (score 0) for every failed episode; NaN without reference scores."""
    value = np.nan if record["reference"] is None else record["reference"]["random"]
    return episodes.assign(**{"return": episodes["return"].where(~failed(episodes), value)})


def reference_of(record: Row) -> Reference | None:
    """The reference scores that a run was evaluated with; None if its data set has none."""
    return None if record["reference"] is None else Reference(**record["reference"])


def reference_name(record: Row) -> str:
    """The name of the run's reference set, "none" without one."""
    return "none" if record["reference"] is None else str(record["reference"]["name"])


def selections(record: Row, episodes: pd.DataFrame) -> dict[str, pd.Series]:
    """Each seed's return by selection rule. A failed episode counts as a random policy's (NaN without reference scores).

    A run without episodes has the last iterate alone, whose returns are NaN.
    """
    if not record["final_episodes"]:
        return {"last": pd.Series(np.nan, pd.Index(record["seeds"], name="seed"))}
    counted = failures_as_random(record, episodes)
    last = _means(counted[counted["update"] == record["updates"]], ["seed"])
    curve = _evaluations(record, counted[counted["seed"].isin(last.index)])
    k = min(record["last_k"], curve.shape[1])
    return {"last": last, "best": curve.max(axis=1), f"mean_last_{k}": curve.iloc[:, -k:].mean(axis=1)}


def success_shares(record: Row, episodes: pd.DataFrame) -> pd.Series | None:
    """Each seed's share of successful final episodes; None where the environment reports no success."""
    if SUCCESS not in episodes:
        return None
    last = episodes[(episodes["update"] == record["updates"]) & episodes[SUCCESS].notna()]
    return (last[SUCCESS] > 0).groupby(last["seed"]).mean() if len(last) else None


def learning_curve(record: Row, episodes: pd.DataFrame) -> pd.DataFrame:
    """Mean score (raw return without reference scores) of every evaluation: one row per update, one column per seed."""
    reference = reference_of(record)
    if not record["final_episodes"]:
        return pd.DataFrame(columns=record["seeds"], dtype=float)
    curve = _evaluations(record, failures_as_random(record, episodes)).T
    return curve if reference is None else curve.apply(lambda x: reference.score(x.to_numpy()))


def _evaluations(record: Row, episodes: pd.DataFrame) -> pd.DataFrame:
    """Mean return of every evaluation's first `eval_episodes` episodes: one row per seed, one column per update."""
    first = episodes[episodes["episode"] < record["eval_episodes"]]
    return _means(first, ["seed", "update"]).unstack("update")


def _means(episodes: pd.DataFrame, keys: list[str]) -> pd.Series:
    """Mean return by `keys`, NaN where one return is NaN. pandas 2 has no `skipna` for groups."""
    groups = episodes.groupby(keys)["return"]
    return groups.mean().where(groups.count() == groups.size())
