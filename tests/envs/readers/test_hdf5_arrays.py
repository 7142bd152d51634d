"""Arrays of an HDF5 file of unknown origin: none is taken from another file of the machine."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pytest

from envs.errors import DataError
from envs.readers.d4rl import convert
from envs.readers.load import load
from tests.helpers.episodes import PENDULUM

ROWS, WIDTH = 30, 4


def _external_storage(group: Any, name: str, secret: Path) -> None:
    group.create_dataset(name, (ROWS, WIDTH), "f8", external=[(str(secret / "raw"), 0, ROWS * WIDTH * 8)])


def _external_link(group: Any, name: str, secret: Path) -> None:
    group[name] = h5py.ExternalLink(str(secret / "file.hdf5"), "/x")


def _soft_link_to_an_external_one(group: Any, name: str, secret: Path) -> None:
    group.file["hop"] = h5py.ExternalLink(str(secret / "file.hdf5"), "/")
    group[name] = h5py.SoftLink("/hop/x")


def _virtual(group: Any, name: str, secret: Path) -> None:
    layout = h5py.VirtualLayout((ROWS, WIDTH), "f8")
    layout[:] = h5py.VirtualSource(str(secret / "file.hdf5"), "x", (ROWS, WIDTH))
    group.create_virtual_dataset(name, layout)


def _link_to_a_pipe(group: Any, name: str, secret: Path) -> None:
    group[name] = h5py.ExternalLink(str(secret / "pipe"), "/x")


KINDS = (_external_storage, _external_link, _soft_link_to_an_external_one, _virtual, _link_to_a_pipe)


@pytest.fixture
def secret(tmp_path: Path) -> Path:
    """A folder with private files: raw numbers, an HDF5 file, a pipe that blocks its reader."""
    folder = tmp_path / "secret"
    folder.mkdir()
    np.full((ROWS, WIDTH), 42.0).tofile(folder / "raw")
    with h5py.File(folder / "file.hdf5", "w") as file:
        file["x"] = np.full((ROWS, WIDTH), 42.0)
    os.mkfifo(folder / "pipe")
    return folder


@pytest.mark.parametrize("array", ["observations", "next_observations"])
@pytest.mark.parametrize("make", KINDS)
def test_a_file_of_d4rl_takes_nothing_from_other_files(make: Any, array: str, secret: Path, tmp_path: Path, minari_root: Path) -> None:
    path = tmp_path / "file.hdf5"
    with h5py.File(path, "w") as file:
        make(file, array, secret)
        if array != "observations":
            file["observations"] = np.zeros((ROWS, WIDTH))
        file["actions"], file["rewards"], file["terminals"] = np.zeros((ROWS, 1)), np.zeros(ROWS), np.arange(ROWS) % 10 == 9
    with pytest.raises(DataError, match=rf"{array} cannot be read: .*(another file|a soft link|a virtual data set)"):
        convert(path, "mine/pendulum-v0", env="InvertedPendulum-v5")
    assert not (minari_root / "mine").exists()


@pytest.mark.parametrize("make", KINDS)
def test_a_data_set_of_minari_takes_nothing_from_other_files(
    make: Any, secret: Path, pendulum_data: Callable[..., Any], minari_root: Path
) -> None:
    pendulum_data(count=3)
    with h5py.File(minari_root / PENDULUM / "data" / "main_data.hdf5", "a") as file:
        del file["episode_1"]["observations"]
        make(file["episode_1"], "observations", secret)
        if "hop" in file:
            file["episode_1"].move("/hop", "/episode_1/hop")  # the number of groups counts
            del file["episode_1"]["observations"]
            file["episode_1"]["observations"] = h5py.SoftLink("/episode_1/hop/x")
    with pytest.raises(DataError, match=r"observations cannot be read: .*(another file|a soft link|a virtual data set)"):
        load(PENDULUM)


def test_a_block_that_would_fill_the_memory_is_refused(tmp_path: Path, minari_root: Path) -> None:
    """10 rows in one compressed block of 8 GB."""
    path = tmp_path / "file.hdf5"
    with h5py.File(path, "w") as file:
        file.create_dataset("observations", (10, 1), "f8", chunks=(2**29 - 1, 1), maxshape=(None, 1), compression="gzip")
        file["actions"], file["rewards"], file["terminals"] = np.zeros((10, 1)), np.zeros(10), np.arange(10) == 9
    with pytest.raises(DataError, match=r"observations claims 4,294,967,288 bytes"):
        convert(path, "mine/pendulum-v0", env="InvertedPendulum-v5")


@pytest.mark.parametrize("kind", ["link", "pipe"])
def test_a_data_set_holds_regular_files_alone(kind: str, secret: Path, pendulum_data: Callable[..., Any], minari_root: Path) -> None:
    pendulum_data(count=3)
    path = minari_root / PENDULUM / "data" / "main_data.hdf5"
    path.unlink()
    path.symlink_to(secret / "file.hdf5") if kind == "link" else os.mkfifo(path)
    with pytest.raises(DataError, match=r"main_data\.hdf5: is (a link|no regular file)"):
        load(PENDULUM)


def test_a_digest_in_the_index_of_the_cache_names_no_folder_outside(pendulum_data: Callable[..., Any], minari_root: Path) -> None:
    """`../../outside` in the index would map any arrays of the machine."""
    import json

    from envs.data.cache import checksum

    pendulum_data(count=3)
    expected = load(PENDULUM).trajectories.digest
    (index,) = (minari_root / ".cache" / "index").glob("*.json")
    about = json.loads(index.read_text())
    outside = minari_root.parent / "outside"
    (minari_root / ".cache" / about["digest"]).rename(outside)
    np.save(outside / "rewards.npy", np.load(outside / "rewards.npy") + 42)
    about["digest"] = "../../outside"
    del about["check"]
    index.write_text(json.dumps(about | {"check": checksum(about)}))
    assert load(PENDULUM).trajectories.digest == expected
