"""Another environment, another limit of steps, or none, in the place of a data set's own."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from envs.data.env_choice import EnvChoice
from envs.errors import DataError
from envs.readers.arrays import data_from_arrays
from envs.readers.load import load
from tests.helpers.episodes import PENDULUM, random_episodes, write_minari

OWN, OTHER = "InvertedPendulum-v5", "InvertedPendulum-v4"
REFERENCE = {"ref_min_score": 5.0, "ref_max_score": 1000.0}


def spec_of(choice: EnvChoice, dataset: str = PENDULUM) -> dict[str, Any]:
    return json.loads(load(dataset, choice=choice).env_spec)


def test_another_environment_is_played_in_and_has_no_reference_scores(pendulum_data: Callable) -> None:
    pendulum_data(**REFERENCE)
    own, other = load(PENDULUM), load(PENDULUM, choice=EnvChoice(OTHER))
    assert (own.reference is not None, own.own_env, json.loads(own.env_spec)["id"]) == (True, "", OWN)
    assert (other.reference, other.own_env, json.loads(other.env_spec)["id"]) == (None, f"{OWN} (1000 steps)", OTHER)
    assert load(PENDULUM, choice=EnvChoice(OTHER)) is not None  # from the cache:
    assert json.loads(load(PENDULUM, choice=EnvChoice(OTHER)).env_spec)["id"] == OTHER
    assert json.loads(load(PENDULUM).env_spec)["id"] == OWN


def test_the_data_sets_own_environment_by_its_id_changes_nothing(pendulum_data: Callable) -> None:
    pendulum_data(**REFERENCE)
    for choice in (EnvChoice(OWN), EnvChoice(OWN, 1000), EnvChoice(None, 1000)):
        found = load(PENDULUM, choice=choice)
        assert found.reference is not None
        assert found.own_env == ""


@pytest.mark.parametrize("env", [None, OWN])
def test_another_limit_of_steps_is_another_environment(pendulum_data: Callable, env: str | None) -> None:
    pendulum_data(**REFERENCE)
    found = load(PENDULUM, choice=EnvChoice(env, 7))
    assert json.loads(found.env_spec)["max_episode_steps"] == 7
    assert (found.reference, found.own_env) == (None, f"{OWN} (1000 steps)")


def test_actions_are_scaled_by_the_bounds_of_the_environment_that_is_played(minari_root: Any) -> None:
    """InvertedPendulum acts within 3, Pendulum within 2: a logged action of 1.5 is 1/2 there and 3/4 here."""
    rows = np.zeros((4, 3), np.float32)
    data_from_arrays("tt/none-v0", rows, np.array([[1.5], [-1.5], [4.0], [0.0]]), np.zeros(4), [0, 0, 0, 1])
    without, pendulum = load("tt/none-v0", choice=EnvChoice("none")), load("tt/none-v0", choice=EnvChoice("Pendulum-v1"))
    assert without.trajectories.actions[:, 0].tolist() == [0.375, -0.375, 1, 0]  # by the largest logged action
    assert pendulum.trajectories.actions[:, 0].tolist() == [0.75, -0.75, 1, 0]
    assert pendulum.clipped == 0.25
    assert pendulum.to_env(np.array([[0.75]], np.float32)).tolist() == [[1.5]]


def test_a_data_set_without_environment_takes_the_given_one_as_its_own(minari_root: Any) -> None:
    data_from_arrays("tt/none-v0", np.zeros((3, 3), np.float32), np.zeros((3, 1)), np.zeros(3), [0, 0, 1])
    found = load("tt/none-v0", choice=EnvChoice("Pendulum-v1"))
    assert (json.loads(found.env_spec)["id"], found.own_env) == ("Pendulum-v1", "")


def test_without_environment_an_untrusted_one_is_neither_made_nor_refused(minari_root: Any) -> None:
    write_minari("tt/foreign-v0", random_episodes(3, obs=4, act=1))
    path = minari_root / "tt/foreign-v0/data/metadata.json"
    metadata = json.loads(path.read_text())
    metadata["env_spec"] = json.dumps(json.loads(metadata["env_spec"]) | {"entry_point": "absent.package:Env"})
    path.write_text(json.dumps(metadata))
    with pytest.raises(DataError, match=r"would run 'absent.package:Env'"):
        load("tt/foreign-v0")
    assert load("tt/foreign-v0", choice=EnvChoice("none")).env_spec == ""
    assert spec_of(EnvChoice(OTHER), "tt/foreign-v0")["id"] == OTHER


@pytest.mark.parametrize(
    ("choice", "line"),
    [
        (EnvChoice("Hoper-v5"), "environment 'Hoper-v5' is not registered: Environment `Hoper` doesn't exist"),
        (EnvChoice("os:Hopper-v5"), "env = os:Hopper-v5: would import 'os', which is not trusted"),
        (EnvChoice("Hopper-v5"), "observations are 4 wide; environment Hopper-v5 has"),
        (
            EnvChoice("CartPole-v1"),
            "its actions have space Box(-3.0, 3.0, (1,), float32), those of environment CartPole-v1 D",
        ),
    ],
)
def test_an_environment_that_does_not_fit_is_refused_in_one_line(pendulum_data: Callable, choice: EnvChoice, line: str) -> None:
    pendulum_data()
    with pytest.raises(DataError) as error:
        load(PENDULUM, choice=choice)
    assert line in str(error.value)
    assert "\n" not in str(error.value)


def test_labels_of_rows() -> None:
    choices = [EnvChoice(), EnvChoice("Hopper-v4"), EnvChoice("Hopper-v4", 100), EnvChoice(None, 100), EnvChoice("none", 100)]
    assert [c.label("a/b-v0") for c in choices] == [
        "a/b-v0", "a/b-v0 in Hopper-v4", "a/b-v0 in Hopper-v4 (100 steps)", "a/b-v0 (100 steps)", "a/b-v0 without environment",
    ]  # fmt: skip
