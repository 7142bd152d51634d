"""Actions are turned into the unit box and back by one definition: each action that was read is the one that is played."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from gymnasium import spaces

from envs.data.actions import ActionUnits
from envs.errors import DataError
from envs.evaluation.measured_reference import random_returns
from envs.evaluation.rollout import Evaluator
from envs.readers.load import load
from tests.helpers import toys


@pytest.fixture(autouse=True)
def trusted(minari_root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    toys.trust(monkeypatch)


@pytest.mark.parametrize("start", [1, -2, 0])
def test_numbers_of_discrete_actions_start_where_the_environments_do(start: int) -> None:
    """Every logged action is the last of three and pays 1 in each of 5 steps; a random policy is paid a third of it."""
    toys.record("toy/numbered-v0", toys.spec("Numbered", start=start), act=lambda _: np.int64(start + 2))
    for data in (load("toy/numbered-v0"), load("toy/numbered-v0")):  # read, and from the cache
        assert data.trajectories.actions.unique().tolist() == [2]
        logged = data.to_env(data.trajectories.actions[:4].numpy())
        assert logged.tolist() == [start + 2] * 4
        with Evaluator(data.env_spec, 1) as environments:
            played = environments.run(lambda *_, logged=logged: logged, np.arange(4)[:, None])
            assert played.returns.ravel().tolist() == [5.0] * 4
            assert 0.8 < random_returns(data, environments).mean() < 2.6  # 5 / 3


BOXES: dict[str, dict[str, Any]] = {
    "locked": {"low": [-1, 0.25], "high": [1, 0.25]},
    "locked at a number that float32 lacks": {"low": [-1, 0.1], "high": [1, 0.1], "dtype": "float64"},
    "tenths": {"low": [-0.7, 0.1], "high": [0.1, 0.3], "dtype": "float64"},
    "half precision": {"low": [-0.1, 0], "high": [0.3, 7], "dtype": "float16"},
    "whole numbers": {"low": [-3, 0], "high": [4, 200], "dtype": "int64"},
    "bytes": {"low": [0, 3], "high": [255, 3], "dtype": "uint8"},
}


@pytest.mark.parametrize("box", BOXES.values(), ids=BOXES)
@pytest.mark.filterwarnings("ignore:.*Casting input")
def test_every_logged_action_is_played_again(box: dict[str, Any]) -> None:
    """The environments are strict: an action outside their space, or of another type, fails."""
    toys.record("toy/boxed-v0", toys.spec("Boxed", **box))
    data = load("toy/boxed-v0", cache=False)
    unit = data.trajectories.actions
    assert unit.isfinite().all()
    assert float(unit.abs().max()) <= 1
    assert data.clipped == 0
    space = data_space(box)
    played = data.to_env(unit.numpy())
    assert all(space.contains(row) for row in played)
    recorded = data.trajectories.rewards.numpy()
    np.testing.assert_allclose(played.sum(1, dtype=np.float64), recorded, atol=0 if data.units.whole else 5e-3, rtol=1e-6)
    with Evaluator(data.env_spec, 1) as environments:
        for extreme in (-1.0, 1.0):
            result = environments.run(lambda o, _, x=extreme: data.to_env(np.full((len(o), 2), x, np.float32)), np.array([[0]]))
            expected = toys.STEPS * np.sum(np.asarray(box["low" if extreme < 0 else "high"], space.dtype), dtype=np.float64)
            assert float(result.returns[0, 0]) == pytest.approx(float(expected), rel=1e-3)
        drawn = random_returns(data, environments)
        assert toys.STEPS * np.sum(box["low"]) - 1 < drawn.mean() < toys.STEPS * np.sum(box["high"]) + 1


def data_space(box: dict[str, Any]) -> spaces.Box:
    return toys.Boxed(**box).action_space


def test_an_entry_with_one_value_is_clipped_and_counted() -> None:
    units = ActionUnits.of(spaces.Box(np.array([-1, 0.5], np.float32), np.array([1, 0.5], np.float32)))
    actions = np.array([[0.25, 0.5], [1.0, 0.75]], np.float32)
    assert units.scale_to_unit(actions) == 0.25
    np.testing.assert_array_equal(actions, [[0.25, 0], [1, 0]])
    np.testing.assert_array_equal(units.to_env(np.array([[0.25, 0.9]], np.float32)), np.float32([[0.25, 0.5]]))


@pytest.mark.parametrize(
    ("low", "high"), [([-1e10, -2], [1e10, 2]), ([-np.inf, -2], [np.inf, 2]), ([-3.4e38, -2], [3.4e38, 2]), ([0, -2], [np.inf, 2])]
)
def test_bounds_that_are_no_scale_are_those_of_the_data(low: list[float], high: list[float]) -> None:
    actions = iter(np.linspace(0, 0.5, 100, dtype=np.float32))
    toys.record("toy/wide-v0", toys.spec("Boxed", low=low, high=high), act=lambda _: np.array([next(actions), 0.5], np.float32))
    data = load("toy/wide-v0")
    assert data.note == "action entries 0 have no bounds near the data's: scaled by the data's smallest and largest values"
    largest = float(np.linspace(0, 0.5, 100, dtype=np.float32)[data.trajectories.num_steps - 1])
    assert (data.units.low.tolist(), data.units.high.tolist()) == ([0.0, -2.0], [pytest.approx(largest), 2.0])
    assert data.trajectories.actions.numpy()[:, 0].min() == -1
    assert data.trajectories.actions.numpy()[:, 0].max() == 1
    np.testing.assert_allclose(data.to_env(data.trajectories.actions.numpy()).sum(1), data.trajectories.rewards, rtol=1e-5)
    with Evaluator(data.env_spec, 1) as environments:
        assert 0 <= random_returns(data, environments).mean() + 2 * toys.STEPS <= 4.5 * toys.STEPS


def test_bounds_of_ordinary_width_stay_the_environments() -> None:
    """Small actions, and a column that never changes, do not narrow the bounds."""
    units = ActionUnits.of(spaces.Box(-10, 10, (3,), np.float32))
    data = np.array([[0, 1e-4, 5], [0, 0, 6]], np.float32)
    assert units.narrowed(data) == (units, [])


@pytest.mark.parametrize("kind", toys.Unusual.SPACES)
def test_actions_without_a_policy_are_one_line(kind: str) -> None:
    toys.record("toy/unusual-v0", toys.spec("Unusual", kind=kind))
    with pytest.raises(DataError, match=r"^toy/unusual-v0: actions have space .*; expected a box of rank 1 or a discrete space$"):
        load("toy/unusual-v0")


def test_another_start_than_the_environments_is_refused() -> None:
    """The same numbers mean other actions: data of Discrete(3, start=1) for an environment that counts from 2."""
    folder = toys.record("toy/numbered-v0", toys.spec("Numbered", start=1))
    metadata = folder / "data" / "metadata.json"
    metadata.write_text(metadata.read_text().replace('{\\"start\\": 1}', '{\\"start\\": 2}'))
    with pytest.raises(DataError, match=r"its actions have space Discrete\(3, start=1\), those of environment Numbered-v0 .*start=2"):
        load("toy/numbered-v0")


def test_units_survive_json() -> None:
    for box in BOXES.values():
        units = ActionUnits.of(data_space(box))
        assert ActionUnits.from_json(units.to_json()) == units
    old = {"num_actions": 0, "action_low": [-2.0], "action_high": [2.0]}
    assert ActionUnits.from_json(old) == ActionUnits(np.float32([-2]), np.float32([2]))
