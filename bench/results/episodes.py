"""Evaluation episodes of a run: read, checked, and reduced to one value per seed by each selection rule.

last          mean over the final episodes of the last iterate
best          the best evaluation during training (its first `eval_episodes` episodes); flatters methods that are evaluated often
mean_last_k   mean over the last k evaluations

All three use one kind of episodes: with eval.actions=both those of the mean action. The sampled ones of the last evaluation are a result
of their own (`bench.results.pooling.by_actions`), which has the rule `last` alone.
"""

from __future__ import annotations

from collections.abc import Iterator
from itertools import islice, zip_longest
from pathlib import Path

import numpy as np
import pandas as pd

from bench.errors import RunError
from bench.results.csv_files import read_numbers
from bench.storage.identity import evaluations
from bench.storage.layout import EPISODE_COLUMNS, SAMPLED, SUCCESS, Row
from envs.data.references import Reference

KEYS = ("update", "seed", "episode")
SPELLED = ("update {}, seed {}, episode {}", "update {}, seed {}, episode {} (sampled)")
AGAIN = "run it again with force=true"


def read_episodes(folder: Path, record: Row) -> pd.DataFrame:
    """Read episodes.csv of a finished run: every episode that its protocol expects, once and in order.

    Raises RunError, naming the line, for other episodes and for returns that are no finite number; "nan" is a failed episode. A run
    without an environment has no episode.
    """
    path, mixed = folder / "episodes.csv", record.get("actions", "mean") != "mean"
    rows = read_numbers(folder, "episodes.csv", (*EPISODE_COLUMNS, SAMPLED) if mixed else EPISODE_COLUMNS, (SUCCESS,))
    rows = rows.astype(whole) if (whole := {c: float for c in ("return", SUCCESS) if c in rows and rows[c].dtype != float}) else rows
    if not record["final_episodes"] and not len(rows):
        return rows.astype(dict.fromkeys(rows.columns, float))
    mode = rows[SAMPLED].to_numpy() if mixed else np.zeros(len(rows), int)
    if not _as_expected(record, rows, mode):
        for k, (found, other) in enumerate(zip_longest(zip(*(rows[c] for c in KEYS), mode, strict=True), expected_rows(record))):
            if found != other:
                texts = ("the end" if row is None else SPELLED[int(row[3])].format(*row) for row in (other, found))
                raise RunError(f"{path}, line {k + 2}: expected {next(texts)}, found {next(texts)}; {AGAIN}")
    returns = rows["return"].to_numpy()
    if (infinite := np.isinf(returns)).any():
        k = int(infinite.argmax())
        raise RunError(f"{path}, line {k + 2}: return = {returns[k]}: expected a finite number, or nan for a failed episode; {AGAIN}")
    return rows


def _as_expected(record: Row, rows: pd.DataFrame, mode: np.ndarray) -> bool:
    """True if the rows, whose actions were sampled where `mode` is 1, are `expected_rows`: compared as arrays."""
    seeds = np.array(record["seeds"])
    found = list(islice(evaluations(record), len(rows) + 1))  # a configuration may ask for any number of them
    if len(rows) != len(seeds) * sum(n for _, n, _ in found):
        return False
    expected = (
        np.concatenate([np.full(len(seeds) * n, update) for update, n, _ in found]),
        np.concatenate([np.repeat(seeds, n) for _, n, _ in found]),
        np.concatenate([np.tile(np.arange(n), len(seeds)) for _, n, _ in found]),
        np.concatenate([np.full(len(seeds) * n, int(sampled)) for _, n, sampled in found]),
    )
    return all(np.array_equal(x, y) for x, y in zip((*(rows[key].to_numpy() for key in KEYS), mode), expected, strict=True))


def expected_rows(record: Row) -> Iterator[tuple[int, int, int, bool]]:
    """(update, seed, episode, sampled actions) of every row of episodes.csv, in order."""
    for update, episodes, sampled in evaluations(record):
        for seed in record["seeds"]:
            for episode in range(episodes):
                yield update, seed, episode, sampled


def of_mode(episodes: pd.DataFrame, sampled: bool) -> pd.DataFrame:
    """The rows of `episodes` with sampled actions, or those with mean actions, without the column that says it."""
    if SAMPLED not in episodes:
        return episodes.iloc[:0] if sampled else episodes
    return episodes[episodes[SAMPLED] == sampled].drop(columns=SAMPLED).reset_index(drop=True)


def selected(record: Row, episodes: pd.DataFrame) -> pd.DataFrame:
    """The rows of `episodes` that selection rules and curves use: of mean actions, or of sampled ones in a run that has no others."""
    return of_mode(episodes, record.get("actions") == "sampled") if SAMPLED in episodes else episodes


def failed(episodes: pd.DataFrame) -> np.ndarray:
    """True for every episode that failed: its return is no finite number."""
    return ~np.isfinite(episodes["return"].to_numpy(float))


def counted_returns(record: Row, episodes: pd.DataFrame) -> np.ndarray:
    """The returns of `episodes`, that of a random policy (score 0) for every failed one; NaN without reference scores."""
    returns = episodes["return"].to_numpy(float)
    value = np.nan if record["reference"] is None else record["reference"]["random"]
    return np.where(np.isfinite(returns), returns, value)


def reference_of(record: Row) -> Reference | None:
    """The reference scores that a run was evaluated with; None if its data set has none."""
    return None if record["reference"] is None else Reference(**record["reference"])


def reference_name(record: Row) -> str:
    """The name of the run's reference set, "none" without one."""
    return "none" if record["reference"] is None else str(record["reference"]["name"])


def selections(record: Row, episodes: pd.DataFrame) -> dict[str, pd.Series]:
    """Each seed's return by selection rule. A failed episode counts as a random policy's (NaN without reference scores).

    A run without episodes has the last iterate alone, whose returns are NaN, and a result of the last evaluation alone (`final_only`) has
    that.
    """
    if not record["final_episodes"]:
        return {"last": final_returns(record, episodes)}
    last = final_returns(record, episodes)
    if record.get("final_only"):
        return {"last": last}
    seeds = last.index.to_numpy()
    rows, _, curve = _evaluations(record, selected(record, episodes))
    curve = curve[np.searchsorted(rows, seeds)]  # a seed without final episodes is left out
    k = min(record["last_k"], curve.shape[1])
    tail, known = curve[:, -k:], np.isfinite(curve[:, -k:]).sum(1)
    mean_last = np.divide(np.nansum(tail, axis=1), known, out=np.full(len(seeds), np.nan), where=known > 0)
    return {
        "last": last, "best": pd.Series(np.fmax.reduce(curve, axis=1), last.index), f"mean_last_{k}": pd.Series(mean_last, last.index),
    }  # fmt: skip


def final_returns(record: Row, episodes: pd.DataFrame) -> pd.Series:
    """Each seed's return by the rule `last`: the first of `selections`, and several times cheaper."""
    if not record["final_episodes"]:
        return pd.Series(np.nan, pd.Index(record["seeds"], name="seed"))
    episodes = selected(record, episodes)
    final = episodes["update"].to_numpy() == record["updates"]
    seeds, means = _means(counted_returns(record, episodes)[final], episodes["seed"].to_numpy()[final])
    return pd.Series(means, pd.Index(seeds, name="seed"))


def success_shares(record: Row, episodes: pd.DataFrame) -> pd.Series | None:
    """Each seed's share of successful final episodes; None where the environment reports no success."""
    if SUCCESS not in episodes:
        return None
    episodes = selected(record, episodes)
    last = episodes[(episodes["update"] == record["updates"]) & episodes[SUCCESS].notna()]
    return (last[SUCCESS] > 0).groupby(last["seed"]).mean() if len(last) else None


def learning_curve(record: Row, episodes: pd.DataFrame) -> pd.DataFrame:
    """Mean score (raw return without reference scores) of every evaluation: one row per update, one column per seed."""
    reference = reference_of(record)
    if not record["final_episodes"]:
        return pd.DataFrame(columns=record["seeds"], dtype=float)
    seeds, updates, means = _evaluations(record, selected(record, episodes))
    values = means.T if reference is None else reference.score(means.T)
    return pd.DataFrame(values, pd.Index(updates, name="update"), pd.Index(seeds, name="seed"))


def _evaluations(record: Row, episodes: pd.DataFrame) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Seeds [S], updates [U], and the mean return of every evaluation's first `eval_episodes` episodes [S, U], NaN where there is none."""
    first = episodes["episode"].to_numpy() < record["eval_episodes"]
    returns, seed, update = (x[first] for x in (counted_returns(record, episodes), *(episodes[k].to_numpy() for k in ("seed", "update"))))
    seeds, row = np.unique(seed, return_inverse=True)
    updates, column = np.unique(update, return_inverse=True)
    cells, means = _means(returns, row * len(updates) + column)
    table = np.full(len(seeds) * len(updates), np.nan)
    table[cells] = means
    return seeds, updates, table.reshape(len(seeds), len(updates))


def _means(values: np.ndarray, keys: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """The sorted keys, and the mean of the values of each; NaN where one value is NaN. Groups of pandas are far slower."""
    found, group = np.unique(keys, return_inverse=True)
    return found, np.bincount(group, values, len(found)) / np.bincount(group, minlength=len(found))
