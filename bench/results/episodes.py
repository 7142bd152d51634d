"""Raw runs as tables read them: checked, failures counted."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd

from bench.errors import RunError
from bench.storage.rundir import EPISODE_COLUMNS, Row
from envs.data.references import Reference


def read_episodes(folder: Path, record: Row) -> pd.DataFrame:
    """episodes.csv of a finished run. Raises RunError, naming the row, for missing or repeated episodes, ValueError if it is no table.

    A seed without any final episode is not an error here: tables show that there are fewer seeds than asked.
    """
    rows = pd.read_csv(folder / "episodes.csv")
    if missing := [c for c in EPISODE_COLUMNS if c not in rows]:
        raise RunError(f"{folder}/episodes.csv: no column {', '.join(missing)}; run it again with force=true")
    rows["return"] = pd.to_numeric(rows["return"])
    if (twice := rows.duplicated(["update", "seed", "episode"])).any():
        row, line = rows[twice].iloc[0], int(twice.to_numpy().argmax()) + 2
        raise RunError(
            f"{folder}/episodes.csv, line {line}: update {row['update']:.0f}, seed {row['seed']:.0f}, episode {row['episode']:.0f} stands "
            f"there before; run it again with force=true"
        )
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
    """Which episodes failed: their return is no finite number."""
    return ~np.isfinite(episodes["return"])


def counted(record: Row, episodes: pd.DataFrame) -> pd.DataFrame:
    """`episodes` with every failed one counted as what a random policy returns, which is score 0; NaN without a reference."""
    value = np.nan if record["reference"] is None else record["reference"]["random"]
    return episodes.assign(**{"return": episodes["return"].where(~failed(episodes), value)})


def reference_of(record: Row) -> Reference | None:
    return None if record["reference"] is None else Reference(**record["reference"])


def selections(record: Row, episodes: pd.DataFrame) -> dict[str, pd.Series]:
    """Each seed's return under each selection rule; a failed episode counts as a random policy's (NaN without a reference)."""
    episodes = counted(record, episodes)
    last = episodes[episodes["update"] == record["updates"]].groupby("seed")["return"].mean(skipna=False)
    few = episodes[(episodes["episode"] < record["eval_episodes"]) & episodes["seed"].isin(last.index)]
    curve = few.groupby(["seed", "update"])["return"].mean(skipna=False).unstack("update")
    k = min(record["last_k"], curve.shape[1])
    return {"last": last, "best": curve.max(axis=1), f"mean_last_{k}": curve.iloc[:, -k:].mean(axis=1)}
