"""CSV files of a run of any origin: tables of numbers, of bounded size, every column checked."""

from __future__ import annotations

import io
import re
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pandas as pd

from bench.config.limits import EPISODES
from bench.errors import DataError, RunError, first_line
from bench.storage.record import LARGEST, WHOLE
from envs.untrusted import clean, read_bytes

FORMULA = re.compile(r"\s*[=+\-@\uff1d\uff0b\uff0d\uff20]\S")
NUMBER = re.compile(r"[+-]?(\d+\.?\d*|\.\d+)(e[+-]?\d+)?|-?inf|-?nan", re.IGNORECASE)
BYTES = 1 << 30
COLUMNS = 1000
HEADER = 1 << 16  # characters of the first line
WHOLE_NUMBERS = {"update": WHOLE, "seed": 2**63 - 1, "episode": EPISODES, "length": WHOLE, "sampled": 1}
"""Columns of whole numbers from 0 on, and their largest value."""


def read_numbers(folder: Path, name: str, columns: Sequence[str], optional: Sequence[str] | None = ()) -> pd.DataFrame:
    """Table `name` of run directory `folder`: `columns`, and those of `optional` that it has (None: all that it has).

    Columns of WHOLE_NUMBERS are integers in range, the others numbers of at most LARGEST, infinite or missing. Raises RunError, naming line
    and column, for anything else.
    """
    path = folder / name
    try:
        content = read_bytes(folder, name, BYTES)
        _check_header(content)
        table = pd.read_csv(io.BytesIO(content), low_memory=False, index_col=False)
    except FileNotFoundError:
        raise RunError(f"{folder}: no {name} in it; run it again with force=true") from None
    except DataError as error:
        raise RunError(f"{error}; run it again with force=true") from error
    except (OSError, ValueError, OverflowError, RuntimeError) as error:
        raise RunError(f"{path}: cannot be read ({first_line(error)}); run it again with force=true") from error
    found = list(table)
    if missing := [c for c in columns if c not in found]:
        raise RunError(f"{path}: no column {', '.join(missing)}; run it again with force=true")
    if optional is not None and found != (wanted := [*columns, *(c for c in optional if c in found)]):
        table = table[wanted]
    for column, values in table.items():
        _check(path, str(column), values)
    return table


def to_csv(table: pd.DataFrame) -> str:
    """`table` as CSV text, numbers with six digits; a text that a spreadsheet would run as a formula gets an apostrophe in front."""
    safe = table.copy(deep=False)
    for column in safe:
        if safe[column].dtype.kind not in "iufb":
            safe[column] = [_no_formula(v) if isinstance(v, str) else v for v in safe[column]]
    return safe.to_csv(index=False, float_format="%.6g", lineterminator="\n")


def _no_formula(text: str) -> str:
    return f"'{text}" if FORMULA.match(text) and not NUMBER.fullmatch(text) else text


def _check_header(content: bytes) -> None:
    """Raise ValueError for a first line that no table of this suite has: pandas takes long for very many columns."""
    header = content[: HEADER + 1].split(b"\n", 1)[0]
    if len(header) > HEADER or header.count(b",") >= COLUMNS:
        raise ValueError(f"its first line has more than {COLUMNS} columns or {HEADER} bytes")


def _check(path: Path, column: str, values: pd.Series) -> None:
    """Raise RunError, naming the line, for a value of the wrong type or range."""
    largest = WHOLE_NUMBERS.get(column)
    if not len(values):  # of a run without an environment; its columns have no type
        return
    if values.dtype.kind in "iuf":
        found = values.to_numpy()
        in_range = (found >= 0) & (found <= largest) & (found == np.floor(found)) if largest else np.abs(found) <= LARGEST
        bad = ~in_range & (np.isfinite(found) | bool(largest))
        if not bad.any() and (largest is None or values.dtype.kind in "iu"):
            return
    else:
        read = pd.to_numeric(values.astype(str), errors="coerce")
        bad = (read.isna() & values.notna()).to_numpy()
    line = int(bad.argmax()) + 2 if bad.any() else 2
    value = values.iloc[line - 2] if len(values) else ""
    expected = f"a whole number from 0 to {largest}" if largest else f"a number of at most {LARGEST:g}"
    reason = f"line {line}: {column} = {clean(str(value), 60)}: expected {expected}"
    raise RunError(f"{path}: cannot be read ({reason}); run it again with force=true")
