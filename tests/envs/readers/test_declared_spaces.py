"""Spaces of absurd size or form in a stranger's metadata are one line, before anything is allocated."""

from __future__ import annotations

import json
import resource
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from envs.errors import DataError
from envs.readers.declared_spaces import check_spaces
from envs.readers.load import load
from tests.helpers.episodes import PENDULUM

BOX = {"type": "Box", "dtype": "float32", "shape": [4], "low": [0, 0, 0, 0], "high": [1, 1, 1, 1]}
DISCRETE = {"type": "Discrete", "dtype": "int64", "start": 0, "n": 3}


def nested(depth: int) -> Any:
    space: Any = BOX
    for _ in range(depth):
        space = {"type": "Tuple", "subspaces": [space]}
    return space


ABSURD: dict[str, Any] = {
    "a wide box": BOX | {"shape": [3_000_000_000], "low": -1.0, "high": 1.0},
    "a box of large rank": BOX | {"shape": [10_000] * 100, "low": 0, "high": 1},
    "a box of wide numbers": BOX | {"dtype": "S1000000000"},
    "a box of records": BOX | {"dtype": "V2000000000"},
    "a negative shape": BOX | {"shape": [-4]},
    "a shape of texts": BOX | {"shape": ["4"]},
    "a shape of truths": BOX | {"shape": [True]},
    "very many choices": DISCRETE | {"n": 10**12},
    "choices beyond integers": DISCRETE | {"n": 10**400},
    "choices of a float": DISCRETE | {"n": 3.5},
    "many discrete entries": {"type": "MultiDiscrete", "dtype": "int64", "nvec": [[10**9, 5]], "start": [[0, 0]]},
    "many bits": {"type": "MultiBinary", "n": [10**6, 10**6]},
    "a part too large": {"type": "Dict", "subspaces": {"a": BOX, "b": {"type": "Tuple", "subspaces": [DISCRETE | {"n": 10**9}]}}},
    "parts too large together": {"type": "Tuple", "subspaces": [DISCRETE | {"n": 6000}] * 2},
    "too many parts": {"type": "Tuple", "subspaces": [DISCRETE | {"n": 0}] * 20_000},
    "parts too deep": nested(40),
    "no object": [1, 2],
    "no type": {"n": 3},
    "no shape": {"type": "Box", "dtype": "float32"},
    "a number": 3,
    "parts of a number": {"type": "Tuple", "subspaces": 3},
}


@pytest.fixture
def little_memory() -> Iterator[None]:
    """Two GB beside what the process has: an allocation of an absurd size fails."""
    used = int(Path("/proc/self/statm").read_text().split()[0]) * resource.getpagesize()
    before = resource.getrlimit(resource.RLIMIT_AS)
    resource.setrlimit(resource.RLIMIT_AS, (used + (2 << 30), before[1]))
    yield
    resource.setrlimit(resource.RLIMIT_AS, before)


@pytest.mark.usefixtures("little_memory")
@pytest.mark.parametrize("key", ["observation_space", "action_space"])
@pytest.mark.parametrize("kind", ABSURD)
def test_an_absurd_space_is_one_line(kind: str, key: str) -> None:
    with pytest.raises(DataError, match=rf"a/b-v0: data/metadata.json, {key}: ") as caught:
        check_spaces("a/b-v0", {key: json.dumps(ABSURD[kind])}, (key,))
    assert "\n" not in str(caught.value)
    assert len(str(caught.value)) < 400


@pytest.mark.parametrize("space", [BOX, DISCRETE, nested(5), {"type": "Dict", "subspaces": {}}, {"type": "MultiBinary", "n": 3}])
def test_a_usual_space_is_none(space: Any) -> None:
    check_spaces("a/b-v0", {"observation_space": json.dumps(space)}, ("observation_space", "action_space"))


@pytest.mark.usefixtures("little_memory")
@pytest.mark.parametrize("kind", ["a wide box", "very many choices", "a box of wide numbers"])
def test_a_data_set_with_one_is_not_read(kind: str, pendulum_data: Callable[..., Any], minari_root: Path) -> None:
    pendulum_data()
    path = minari_root / PENDULUM / "data" / "metadata.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | {"action_space": json.dumps(ABSURD[kind])}))
    with pytest.raises(DataError, match="action_space"):
        load(PENDULUM)


@pytest.mark.usefixtures("little_memory")
def test_more_steps_than_any_disk_holds_are_one_line(pendulum_data: Callable[..., Any], minari_root: Path) -> None:
    """An array that was never written takes no room in its file, whatever its shape."""
    import h5py

    pendulum_data(count=1)
    folder = minari_root / PENDULUM / "data"
    with h5py.File(folder / "main_data.hdf5", "a") as file:
        del file["episode_0/rewards"]
        file["episode_0"].create_dataset("rewards", (10**15,), "f4", chunks=(1000,))
    metadata = json.loads((folder / "metadata.json").read_text())
    (folder / "metadata.json").write_text(json.dumps(metadata | {"total_steps": 10**15}))
    with pytest.raises(DataError, match=r"its observations need [\d,]+ bytes"):
        load(PENDULUM)
