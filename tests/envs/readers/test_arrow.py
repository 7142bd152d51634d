"""Long episodes in Arrow and Parquet, which Minari's writer may scramble: read as they were recorded, or refused."""

from __future__ import annotations

from contextlib import nullcontext
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow
import pyarrow.dataset
import pyarrow.parquet
import pytest

from envs.errors import DataError
from envs.readers.load import load
from tests.helpers.logged import write

PART = 20


def walk(steps: int, seed: int = 0) -> dict[str, Any]:
    """An episode of Pendulum's shape whose observations move on step by step."""
    rng = np.random.default_rng(seed)
    return {
        "observations": rng.normal(size=(steps + 1, 3)).cumsum(0).astype(np.float32),
        "actions": rng.uniform(-2, 2, (steps, 1)).astype(np.float32), "rewards": rng.normal(size=steps),
        "terminations": np.zeros(steps, bool), "truncations": np.arange(steps) == steps - 1,
    }  # fmt: skip


def rewrite(folder: Path, data_format: str, order: list[int], size: int = PART) -> None:
    """Write episode 0 again in parts of `size` rows, in `order`."""
    path = next((folder / "data" / "0").glob(f"part-*.{data_format}"))
    table = pyarrow.dataset.dataset(path, format=data_format).to_table().combine_chunks()
    parts = [table.slice(k * size, size) for k in range(-(-table.num_rows // size))]
    if data_format == "arrow":
        with pyarrow.OSFile(str(path), "wb") as sink, pyarrow.ipc.new_file(sink, table.schema) as writer:
            for k in order:
                writer.write_table(parts[k])
    else:
        with pyarrow.parquet.ParquetWriter(path, table.schema) as writer:
            for k in order:
                writer.write_table(parts[k])


@pytest.mark.parametrize("data_format", ["arrow", "parquet"])
@pytest.mark.parametrize("order", [[0, 1, 2, 3], [0, 2, 1, 3], [2, 0, 1, 3], [1, 0, 2, 3], [3, 0, 1, 2], [0, 1, 3, 2], [0, 3, 1, 2]])
@pytest.mark.parametrize("steps", [79, 69])
def test_parts_out_of_order_are_refused(
    minari_root: Path, monkeypatch: pytest.MonkeyPatch, data_format: str, order: list[int], steps: int
) -> None:
    """Four parts, the last of which is as long as the others, or half as long."""
    monkeypatch.setattr("envs.readers.arrow.ORDERED", 50)
    found = walk(steps)
    rewrite(write("tt/long-v0", [found], data_format=data_format), data_format, order)
    if order == [0, 1, 2, 3]:
        np.testing.assert_array_equal(load("tt/long-v0").trajectories.observations, found["observations"][:-1])
    else:
        with pytest.raises(DataError, match=r"tt/long-v0: episode 0: its \d+ rows are in parts whose order is wrong or cannot be told"):
            load("tt/long-v0")


@pytest.mark.parametrize("scale", [1, 0])
def test_two_parts_exchanged_are_refused(minari_root: Path, monkeypatch: pytest.MonkeyPatch, scale: int) -> None:
    """Also where observations do not say: the last row is no padding."""
    monkeypatch.setattr("envs.readers.arrow.ORDERED", 30)
    found = walk(39)
    found["observations"] *= scale
    rewrite(write("tt/long-v0", [found], data_format="arrow"), "arrow", [1, 0])
    with pytest.raises(DataError, match="its 40 rows are in parts"):
        load("tt/long-v0")


def test_short_episodes_in_parts_are_read(minari_root: Path) -> None:
    """Up to ORDERED rows, the order of parts is the writer's own."""
    found = walk(79)
    rewrite(write("tt/long-v0", [found], data_format="arrow"), "arrow", [0, 1, 2, 3])
    np.testing.assert_array_equal(load("tt/long-v0").trajectories.observations, found["observations"][:-1])


@pytest.mark.parametrize("data_format", ["arrow", "parquet"])
def test_what_minari_writes_is_read_in_order_or_refused(minari_root: Path, data_format: str) -> None:
    """140,000 steps: the order of Minari's parts differs from time to time."""
    found = walk(140_000)
    folder = write("tt/long-v0", [found], data_format=data_format)
    rows = pyarrow.dataset.dataset(next((folder / "data" / "0").glob("part-*")), format=data_format).to_table().column("observations")
    kept = np.array_equal(rows.combine_chunks().flatten().to_numpy().reshape(-1, 3), found["observations"])
    with nullcontext() if kept else pytest.raises(DataError, match="its 140,001 rows are in parts whose order is wrong"):
        np.testing.assert_array_equal(load("tt/long-v0", cache=False).trajectories.observations, found["observations"][:-1])
