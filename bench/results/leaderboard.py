"""leaderboard.csv: one row for each run and selection rule, computed from raw runs, read back with checks, and merged.

actions       that the policies played: mean or sampled (eval.actions); empty for published rows
source        ours (computed from raw runs), submitted (numbers of a file, without its runs) or published (of a paper, with its citation)
verifiable    yes if the policies behind the value were kept, so that `verify` can play them again, else "not verifiable"
stepper       threads, processes or batch, which stepped the environments (docs/speed.md); equal returns; empty without an environment
engine        eager, compiled or captured, which computed the updates, and precision of their products (docs/speed.md)
evaluations   number of evaluations that the value was chosen from (best) or averaged over (mean_last_k)
configs_tried number of the method's configurations tried on the data set: all runs of the results folder, finished or not, or more if the
              configuration says so (report.configs_tried)
chosen_by     what the configuration was chosen by: environment (its returns), an estimate from logged data (docs/selection.md), or none
weight_ess    effective sample size of the importance weights after the last update, as a share of the curated data; weight_clipped: the
              share of them at a clip. Means over seeds, empty for methods without such weights
levelled_off  true or false by the test of bench.results.levelling; empty if the curve is too short, or the seeds too few, to judge
"""

from __future__ import annotations

import contextlib
import csv
import io
from collections import Counter
from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np
import pandas as pd

from bench.config.estimates import CHOSEN_BY, NONE
from bench.errors import DataError, RunError, first_line
from bench.results.csv_files import to_csv
from bench.results.episodes import counted_returns, reference_name, reference_of, selections, success_shares
from bench.results.levelling import levelled_off
from bench.results.pooling import pooled
from bench.results.runs import Runs
from bench.results.statistics import summarise
from bench.storage.layout import SAMPLED, Row
from envs.untrusted import clean, read_json, read_text

BYTES = 256 << 20
SCHEMA = 6  # raised when a column is added, removed or changes its meaning
COLUMNS = [
    "suite", "dataset", "algo", "selection", "actions", "reference", "seeds", "eval_episodes", "evaluations", "updates",
    "score_mean", "score_std", "std_ddof", "score_ci_low", "score_ci_high", "return_mean", "return_std",
    "return_ci_low", "return_ci_high", "success_rate",
    "config_hash", "dataset_digest", "code_revision", "device", "stepper", "engine", "precision", "wall_time_s",
    "score_iqm", "configs_tried", "chosen_by", "weight_ess", "weight_clipped", "levelled_off", "verifiable", "source", "citation", "schema",
]  # fmt: skip
TEXT = {"suite", "dataset", "algo", "selection", "reference", "seeds", "config_hash", "dataset_digest", "code_revision", "device"}
TEXT |= {"actions", "stepper", "engine", "precision", "chosen_by", "levelled_off", "verifiable", "source", "citation"}
KEY = ["dataset", "algo", "selection", "actions", "config_hash", "citation"]
SOURCES = ("ours", "submitted", "published")
YES, NOT_VERIFIABLE = "yes", "not verifiable"
SCORE_COLUMNS = ["suite", "dataset", "algo", "seed", "update", "episode", "return", "score", "length"]
ROW = ",%d,%d,%d,%.6g,%.6g,%d"  # the numbers of scores.csv; pandas takes a second for 100,000 rows

# From runs.


def board_of(suite: Path, runs: Runs, root: Path | None = None) -> pd.DataFrame:
    """The leaderboard of `runs`, portions of seeds pooled.

    `configs_tried` counts the runs in `suite`, those in the suites beside it if they are in the `results_dir` of a run, and those in all
    suites below `root` if given. Raises RunError if `root` is no folder.
    """
    runs = pooled(runs)
    beside = suite.absolute().parent
    if beside.name not in {Path(record["config"].get("results_dir", "")).name for record, _ in runs}:
        beside = suite  # the suite was moved: its neighbours are others'
    board = pd.DataFrame([row for record, episodes in runs for row in _rows_of(record, episodes)], columns=COLUMNS)
    tried = Counter((dataset, algo) for dataset, algo, _ in _started([suite, beside], root, [record for record, _ in runs]))
    for record, _ in runs:  # tried in runs that are gone, as the configuration says
        cell = record["dataset"], record["algo"]
        tried[cell] = max(tried[cell], record.get("configs_tried", 1))
    board["configs_tried"] = [tried[row.dataset, row.algo] for row in board.itertuples()]
    return board.sort_values(["dataset", "algo", "selection", "actions", "config_hash"], kind="stable", ignore_index=True)


def _rows_of(record: Row, episodes: pd.DataFrame) -> Iterator[Row]:
    """One row for each selection rule."""
    reference, weights = reference_of(record), record.get("weights", {})
    stops = episodes["update"].nunique()
    levelled = {True: "true", False: "false", None: ""}[levelled_off(record, episodes)]
    evaluations = {"last": min(1, stops), "best": stops, "mean": min(record["last_k"], stops)}
    for selection, values in selections(record, episodes).items():
        returns = values.to_numpy()
        scores = np.full(len(returns), np.nan) if reference is None else reference.score(returns)
        raw, score = summarise(returns), summarise(scores)
        shares = success_shares(record, episodes) if selection == "last" else None
        yield {
            **{name: record[name] for name in COLUMNS if name in record},
            "selection": selection,
            "reference": reference_name(record),
            "seeds": " ".join(map(str, values.index)),
            "eval_episodes": record["final_episodes"] if selection == "last" else record["eval_episodes"],
            "evaluations": evaluations[selection.split("_")[0]],
            "score_mean": score.mean, "score_std": score.std, "std_ddof": 1, "score_ci_low": score.low, "score_ci_high": score.high,
            "return_mean": raw.mean, "return_std": raw.std, "return_ci_low": raw.low, "return_ci_high": raw.high,
            "success_rate": np.nan if shares is None else float(shares.mean()),
            "weight_ess": weights.get("ess", np.nan), "weight_clipped": weights.get("clipped", np.nan),
            "score_iqm": _trimmed_mean(scores), "configs_tried": 1, "chosen_by": record.get("chosen_by", NONE), "levelled_off": levelled,
            "verifiable": YES if selection == "last" or record.get("kept_policies") else NOT_VERIFIABLE,
            "source": "ours", "citation": "", "schema": SCHEMA,
            **{name: record.get(name) or "" for name in ("stepper", "engine", "precision")},
        }  # fmt: skip


def _trimmed_mean(scores: np.ndarray) -> float:
    """The interquartile mean: without the lowest and the highest int(N / 4) of N scores."""
    cut = len(scores) // 4
    return float(np.sort(scores)[cut : len(scores) - cut].mean())


def _started(folders: Sequence[Path], root: Path | None, records: Sequence[Row]) -> set[tuple[str, str, str]]:
    """(data set, method, configuration) of `records`, and of every other run, finished or not, of suites that are, or are in, `folders`, or
    are below `root`.

    Runs that differ in seeds or evaluation alone are one configuration. The others' run.json is believed: more runs give larger numbers.
    """
    if root is not None and not root.is_dir():
        raise RunError(f"{root}: no such folder; expected one that holds suites, such as results")
    found = {(str(r["dataset"]), str(r["algo"]), _settings(r)) for r in records}
    read = {(Path(folder) / "run.json").resolve() for r in records for folder, _ in r["portions"]}
    paths = {path for folder in folders for pattern in ("runs/*/run.json", "*/runs/*/run.json") for path in folder.glob(pattern)}
    paths |= set(root.glob("**/runs/*/run.json")) if root else set()
    for path in {path.resolve() for path in paths if path.is_file()} - read:
        with contextlib.suppress(DataError, KeyError, TypeError, OSError):  # another process may restart the run meanwhile
            record = read_json(path.parent, path.name)
            found.add((str(record["dataset"]), str(record["algo"]), _settings(record)))
    return found


def _settings(record: Row) -> str:
    """The hash of a run's settings, which is that of the run where an early version wrote it."""
    return str(record.get("settings_hash") or record["config_hash"])


def scores_csv(runs: Runs) -> str:
    """scores.csv: one row for each evaluation episode; `score` is empty where the data set has no reference scores.

    With the column `sampled`, as in episodes.csv, if a run has sampled actions.
    """
    sampled = any(SAMPLED in episodes for _, episodes in runs)
    lines = [",".join([*SCORE_COLUMNS, *[SAMPLED] * sampled])]
    names = to_csv(pd.DataFrame([{name: record[name] for name in ("suite", "dataset", "algo")} for record, _ in runs])).split("\n")[1:]
    for (record, episodes), own in zip(runs, names, strict=False):
        reference = reference_of(record)
        score = np.full(len(episodes), np.nan) if reference is None else reference.score(counted_returns(record, episodes))
        columns = [episodes[name].tolist() for name in ("seed", "update", "episode", "return", "length")]
        columns.insert(4, np.asarray(score).tolist())
        if sampled:
            columns.append(episodes[SAMPLED].tolist() if SAMPLED in episodes else [0] * len(episodes))
        row = ROW + ",%d" * sampled
        if len(episodes):  # one text for each run: a text for each row takes twice the memory
            lines.append("\n".join([own + text.replace("nan", "") for text in map(row.__mod__, zip(*columns, strict=True))]))
    return "\n".join([*lines, ""])


def board_csv(board: pd.DataFrame) -> str:
    """The leaderboard as CSV, sorted, numbers with six digits: two versions differ only where their results do."""
    ordered = board.sort_values(KEY, kind="stable", ignore_index=True)
    return to_csv(ordered[COLUMNS])


# From files.


def read_board(path: Path) -> pd.DataFrame:
    """The checked rows of `path`. Raises RunError naming file and line, OSError if it cannot be opened."""
    real = path.resolve()  # the user names the file, so it may be a link
    try:
        text = read_text(real.parent, real.name, BYTES)
        header = next(csv.reader(io.StringIO(text)), [])
    except FileNotFoundError as error:
        raise FileNotFoundError(error.errno, error.strerror, str(path)) from error  # by the name that the user gave
    except (DataError, csv.Error) as error:
        raise RunError(f"{path}: cannot be read as a table ({first_line(error)})") from error
    rebuild = "rebuild it with python -m bench tables FOLDER"
    if "schema" not in header:
        raise RunError(f"{path}: no column 'schema', so an older version of this program wrote it; {rebuild}")
    try:
        board = pd.read_csv(io.StringIO(text), dtype=object, keep_default_na=False, na_filter=False, index_col=False)
        schemas = pd.to_numeric(board["schema"])
    except (ValueError, TypeError, OverflowError, LookupError) as error:
        raise RunError(f"{path}: cannot be read as a table ({first_line(error)})") from error
    if (schemas > SCHEMA).any():
        raise RunError(f"{path}: schema {schemas.max():g} is newer than this program's {SCHEMA}; update the suite")
    if (schemas != SCHEMA).any():
        raise RunError(f"{path}, line {line_of(schemas != SCHEMA)}: expected schema {SCHEMA}; {rebuild}")
    if missing := [c for c in COLUMNS if c not in board]:
        raise RunError(f"{path}: no column {', '.join(missing)}; expected {','.join(COLUMNS)}")
    board = board[COLUMNS].fillna("")  # a line may be too short
    for column in set(COLUMNS) - TEXT:
        raw = board[column]
        found = pd.to_numeric(raw.where(raw != "", "nan"), errors="coerce")
        if (bad := found.isna() & (raw != "") & (raw.str.lower() != "nan")).any():
            raise RunError(f"{path}, line {line_of(bad)}: {column} = {clean(str(raw[bad].iloc[0]), 60)}: expected a number")
        board = board.assign(**{column: found.astype(float)})
    for column in ("dataset", "algo", "selection", "reference"):
        if (board[column] == "").any():
            raise RunError(f"{path}, line {line_of(board[column] == '')}: {column} is empty")
    if (bad := ~board["source"].isin(SOURCES)).any():
        raise RunError(f"{path}, line {line_of(bad)}: source = {board['source'][bad].iloc[0]}: expected {', '.join(SOURCES)}")
    if (bad := (board["source"] != "published") & ~board["actions"].isin(("mean", "sampled"))).any():
        raise RunError(f"{path}, line {line_of(bad)}: actions = {board['actions'][bad].iloc[0]}: expected mean or sampled")
    if (bad := ~board["levelled_off"].isin(("", "true", "false"))).any():
        raise RunError(f"{path}, line {line_of(bad)}: levelled_off = {board['levelled_off'][bad].iloc[0]}: expected true, false or nothing")
    _check_numbers(path, board)
    if (bad := (board["source"] == "published") & (board["citation"] == "")).any():
        raise RunError(f"{path}, line {line_of(bad)}: a published row needs a citation")
    if (bad := board.duplicated(KEY)).any():
        row = board[bad].iloc[0]
        raise RunError(f"{path}, line {line_of(bad)}: repeats {row['algo']} on {row['dataset']} ({row['selection']}); remove one of them")
    return board[COLUMNS]


def _check_numbers(path: Path, board: pd.DataFrame) -> None:
    """Raise RunError, naming the line, for numbers that no run has: infinite ones, an interval without its mean, a negative spread."""
    for column in set(COLUMNS) - TEXT:
        if (bad := np.isinf(board[column])).any():
            raise RunError(f"{path}, line {line_of(bad)}: {column} = {board[column][bad].iloc[0]}: expected a finite number")
    for quantity in ("score", "return"):
        low, mean, high = (board[f"{quantity}_{name}"] for name in ("ci_low", "mean", "ci_high"))
        slack = 1e-5 * mean.abs()  # numbers have six digits
        if (bad := (low > mean + slack) | (high < mean - slack) | ((low.notna() | high.notna()) & mean.isna())).any():
            interval = f"{low[bad].iloc[0]:g} to {high[bad].iloc[0]:g}"
            raise RunError(f"{path}, line {line_of(bad)}: {quantity}_mean = {mean[bad].iloc[0]:g} is not in its interval, {interval}")
        if (bad := board[f"{quantity}_std"] < 0).any():
            raise RunError(f"{path}, line {line_of(bad)}: {quantity}_std is negative")
    computed = board["source"] != "published"
    for column in ("eval_episodes", "evaluations", "updates", "configs_tried"):
        if (bad := computed & ~(board[column] >= 0)).any():
            raise RunError(f"{path}, line {line_of(bad)}: {column} = {board[column][bad].iloc[0]:g}: expected a whole number")
    if (bad := computed & ~board["chosen_by"].isin(CHOSEN_BY)).any():
        raise RunError(f"{path}, line {line_of(bad)}: chosen_by = {board['chosen_by'][bad].iloc[0]}: expected {', '.join(CHOSEN_BY)}")
    if (bad := computed & ~board["seeds"].str.fullmatch(r"\d{1,19}( \d{1,19})*")).any():
        raise RunError(f"{path}, line {line_of(bad)}: seeds = {board['seeds'][bad].iloc[0]}: expected seeds separated by blanks")


def line_of(bad: pd.Series) -> int:
    """The line of the first bad row in the file; the header is line 1."""
    return int(bad.to_numpy().argmax()) + 2
