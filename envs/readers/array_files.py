"""Minari data sets from .npz and .csv files: read, then written as `envs.readers.arrays` does.

.npz    arrays named as in `data_from_dict`: observations, actions, rewards, terminations (or D4RL's terminals), ...
.csv    one row per step, with a header:
        obs_0, obs_1, ...            the observation
        action_0, action_1, ...      the action; or one column `action` with whole numbers, for discrete actions
        reward                       the reward
        terminated, truncated        0 or 1 (or False, True); truncated may be absent
        next_obs_0, ...              the observation after the step, if known
        episode                      a number or name that is the same for all steps of an episode; if absent, flags end episodes
"""

from __future__ import annotations

import contextlib
import re
import zipfile
import zlib
from pathlib import Path
from typing import Any

import numpy as np

from envs.errors import DataError, first_line
from envs.readers.arrays import data_from_dict, write_arrays
from envs.readers.episode_files import machine_memory
from envs.readers.steps import REQUIRED, Source
from envs.untrusted import check_file

SINGLE = {"action": "actions", "reward": "rewards", "terminated": "terminations", "truncated": "truncations"}
SEVERAL = {"obs": "observations", "action": "actions", "next_obs": "next_observations"}
UNREADABLE = (OSError, ValueError, EOFError, AttributeError, TypeError, MemoryError, OverflowError, RuntimeError, zlib.error)
"""Errors of zipfile and NumPy for files that are damaged, encrypted or compressed in an unknown way."""
EXPECTED = "obs_0, obs_1, ..., action_0, ... (or action), reward, terminated, truncated, next_obs_0, ... and episode"


def data_from_file(path: Path | str, dataset: str, env: Any = None, **options: Any) -> Path:
    """Write `dataset` from a .npz or .csv file and return its folder. Raises DataError for another kind of file."""
    readers = {".npz": data_from_npz, ".csv": data_from_csv}
    real = Path(path).resolve()  # the user names the file, so it may be a link
    with contextlib.suppress(FileNotFoundError):
        check_file(real.parent, real.name)
    if (reader := readers.get(Path(path).suffix.lower())) is None:
        raise DataError(f"{path}: unknown kind of file; expected {' or '.join(readers)}")
    return reader(path, dataset, env, **options)


def data_from_npz(path: Path | str, dataset: str, env: Any = None, **options: Any) -> Path:
    """Write `dataset` from the arrays of file `path` and return its folder; `options` and errors are those of `data_from_arrays`."""
    try:
        with open(path, "rb") as content, np.load(content, allow_pickle=False) as file:
            _check_size(path, file)
            arrays = {name: file[name] for name in file.files}
    except FileNotFoundError:
        raise DataError(f"{path}: no such file") from None
    except (*UNREADABLE, zipfile.BadZipFile) as error:
        raise DataError(f"{path}: cannot be read ({first_line(error)}); expected a .npz file of arrays of numbers") from error
    return data_from_dict(dataset, arrays, env, source=str(path), **options)


def _check_size(path: Path | str, file: Any) -> None:
    """Raise DataError if the arrays in .npz `file`, which may be compressed a thousand times, need more than the memory."""
    needed = sum(entry.file_size for entry in file.zip.infolist())
    if needed > (memory := machine_memory()):
        raise DataError(f"{path}: its arrays need {needed:,} bytes, more than the memory has ({memory:,}); write it in parts")


def data_from_csv(path: Path | str, dataset: str, env: Any = None, **options: Any) -> Path:
    """Write `dataset` from table `path`, one row per step, and return its folder; `options` and errors are those of `data_from_arrays`."""
    import pandas as pd

    try:
        table = pd.read_csv(path, skipinitialspace=True)
    except FileNotFoundError:
        raise DataError(f"{path}: no such file") from None
    except (OSError, ValueError) as error:  # pandas' ParserError and EmptyDataError are ValueErrors
        raise DataError(f"{path}: cannot be read ({first_line(error)}); expected a table with a header") from error
    columns = _columns(path, [str(name) for name in table.columns])
    arrays: dict[str, Any] = {}
    for name, found in columns.items():
        numbers = [_numbers(path, table[column]) for column in found]
        arrays[name] = numbers[0] if found[0] in SINGLE else np.stack(numbers, 1)
    lengths = None
    if "episode" in table:
        labels = table["episode"].astype(str).to_numpy()
        starts = np.flatnonzero(labels[1:] != labels[:-1]) + 1
        if len(np.unique(labels)) != len(starts) + 1:
            raise DataError(f"{path}: the lines of an episode are not together; sort the lines by episode and step")
        lengths = np.diff([0, *starts, len(labels)])
    return write_arrays(dataset, arrays, env, Source(str(path), "line", 2), lengths, **options)


def _columns(path: Path | str, names: list[str]) -> dict[str, list[str]]:
    """The columns of each array, in order. Raises DataError for columns that are unknown, absent or not numbered from 0."""
    found: dict[str, list[str]] = {}
    for name in names:
        match = re.fullmatch(r"(obs|action|next_obs)_(\d+)", name)
        if match is None and name not in (*SINGLE, "episode"):
            raise DataError(f"{path}: unknown column '{name}'; expected {EXPECTED}; rename or remove it")
        if name != "episode":
            found.setdefault(SEVERAL[match[1]] if match else SINGLE[name], []).append(name)
    for name in REQUIRED:
        if name not in found:
            raise DataError(f"{path}: no column for {name}; expected {EXPECTED}")
    for array, columns in found.items():
        if columns[0] in SINGLE and len(columns) == 1:
            continue
        prefix = next(prefix for prefix, name in SEVERAL.items() if name == array)
        found[array] = [f"{prefix}_{k}" for k in range(len(columns))]
        if missing := sorted(set(found[array]) - set(columns)):
            raise DataError(f"{path}: no column '{missing[0]}' among {', '.join(columns)}; expected columns numbered from 0")
    return found


def _numbers(path: Path | str, column: Any) -> np.ndarray:
    """The numbers [N] of a column. Raises DataError naming the line of a cell that is empty or no number."""
    import pandas as pd

    numbers = pd.to_numeric(column, errors="coerce")
    wrong = numbers.isna().to_numpy()
    if wrong.any():
        row = int(wrong.argmax())
        what = "is empty" if pd.isna(column.iloc[row]) else f"is '{column.iloc[row]}'"
        raise DataError(f"{path}: line {row + 2}: {column.name} {what}; expected a number")
    return numbers.to_numpy()
