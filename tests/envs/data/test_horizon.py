"""Evaluation keeps the time limit of the data and of their reference scores, and always ends."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from gymnasium.envs.registration import EnvSpec, WrapperSpec

from bench.training.shared import Shared
from envs.data.env_choice import EnvChoice
from envs.data.environments import find_spec, make
from envs.data.horizon import LIMIT, limit_of, limited
from envs.data.logged_data import LoggedData
from envs.data.references import D4RL, table
from envs.errors import DataError
from envs.evaluation.measured_reference import measured_reference
from envs.evaluation.rollout import Evaluator
from envs.readers.d4rl_environments import ENVIRONMENTS
from envs.readers.load import load
from tests.helpers import toys
from tests.helpers.logged import episode, record_random, write_spec


@pytest.fixture(autouse=True)
def trusted(minari_root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    toys.trust(monkeypatch)


def limit(data: LoggedData) -> int | None:
    return limit_of(EnvSpec.from_json(data.env_spec))


def played(data: LoggedData, episodes: int = 2) -> list[int]:
    """Lengths of episodes of action 0."""
    with Evaluator(data.env_spec, 1) as environments:
        return environments.run(lambda o, _: data.to_env(np.zeros((len(o), 1), np.float32)), np.arange(episodes)[None]).lengths[0].tolist()


def test_minaris_pen_is_evaluated_over_the_100_steps_of_its_scores() -> None:
    record_random("D4RL/pen/human-v2", "AdroitHandPen-v1", episodes=1, steps=3)
    path = Path(load_folder("D4RL/pen/human-v2"))
    spec = json.loads(find_spec("AdroitHandPen-v1").to_json())
    assert spec["max_episode_steps"] == 200
    change(path, env_spec=json.dumps(spec), eval_env_spec=json.dumps(spec), ref_min_score=96.262799, ref_max_score=3076.8331017826877)
    data = load("D4RL/pen/human-v2")
    assert limit(data) == 100
    assert data.remarks == "evaluated over 100 steps, its stated time limit (AdroitHandPen-v1 has 200)"
    assert limit(load("D4RL/pen/human-v2")) == 100  # from the cache
    with Evaluator(data.env_spec, 1) as environments:
        assert environments.run(lambda o, _: np.zeros((len(o), 24), np.float32), np.array([[0]])).lengths.tolist() == [[100]]


def load_folder(dataset: str) -> str:
    from envs.data.minari_root import datasets_root

    return str(datasets_root() / dataset / "data" / "metadata.json")


def change(path: Path, **metadata: Any) -> None:
    path.write_text(json.dumps(json.loads(path.read_text()) | metadata))


@pytest.mark.parametrize("key", ["max_episode_steps", "time_limit"])
def test_a_stated_limit_is_kept(key: str) -> None:
    toys.record("toy/stated-v0", toys.spec("Toy", 50, steps=99), episodes=3, **{key: 20}, ref_min_score=0.0, ref_max_score=20.0)
    data = load("toy/stated-v0")
    assert played(data) == [20, 20]
    assert data.reference.score(np.array([20.0])).tolist() == [100.0]


@pytest.mark.parametrize("steps", [0, -1, "20", 2.5, True])
def test_a_stated_limit_that_is_no_number_of_steps_is_refused(steps: Any) -> None:
    toys.record("toy/stated-v0", toys.spec("Toy", 50), max_episode_steps=steps)
    with pytest.raises(DataError, match=r"max_episode_steps in metadata.json is .*; expected a number of steps"):
        load("toy/stated-v0")


def test_without_reference_scores_the_horizon_is_the_datas() -> None:
    """Data cut after 20 of 50 steps: the best of them, score 100, is a return of 20, which a policy must not reach in 50 steps."""
    toys.record("toy/cut-v0", toys.spec("Toy", 50, steps=99), cut=20)
    data = load("toy/cut-v0")
    assert played(data) == [20, 20]
    assert data.remarks.startswith("evaluated over 20 steps, as its episodes are (Toy-v0 has 50; eval.max_episode_steps=N")


def test_episodes_of_several_lengths_state_no_horizon() -> None:
    rng = np.random.default_rng(0)
    episodes = [episode(rng, n, obs=2) | {"actions": np.zeros((n, 1), np.float32)} for n in (20, 20, 7)]
    write_spec("toy/cut-v0", episodes, toys.spec("Toy", 50, steps=99))
    assert played(load("toy/cut-v0")) == [50, 50]


def test_an_environment_that_never_ends_is_played_as_long_as_its_data() -> None:
    toys.record("toy/endless-v0", toys.spec("Endless"), episodes=4, cut=20)
    data = load("toy/endless-v0")
    assert data.remarks.startswith("evaluated over 20 steps, as its episodes are (Endless-v0 states no max_episode_steps; eval.max_epi")
    assert played(data) == [20, 20]
    with Evaluator(data.env_spec, 1) as environments:
        assert measured_reference(data, environments) is None  # random is as good: 1 in each step


def test_an_environment_that_never_ends_has_a_limit_in_any_case() -> None:
    toys.record("toy/endless-v0", toys.spec("Endless"), episodes=1, cut=20)
    data = load("toy/endless-v0")
    assert (LIMIT, limit(data)) == (1000, 1000)
    assert "Endless-v0 states no max_episode_steps" in data.remarks
    with Evaluator(toys.spec("Endless").to_json(), 1) as environments:  # a specification that no data set has passed on
        assert environments.run(lambda o, _: np.zeros((len(o), 1), np.float32), np.array([[0]])).lengths.tolist() == [[LIMIT]]


def test_the_limit_can_be_set_and_scores_of_another_are_not_shown() -> None:
    toys.record("toy/cut-v0", toys.spec("Toy", 50, steps=99), cut=20)
    toys.record("toy/scored-v0", toys.spec("Toy", 50, steps=99), cut=50, max_episode_steps=40, ref_min_score=0.0, ref_max_score=40.0)
    with Shared() as shared:
        for dataset, own in (("toy/cut-v0", 20), ("toy/scored-v0", 40)):
            for steps in (30, 50):  # 50 is the environment's own limit, and not the scores'
                data = shared.data(dataset, 1, EnvChoice(None, steps))
                assert played(data) == [steps, steps]
                assert (data.reference, data.own_env, data.horizon) == (None, f"Toy-v0 ({own} steps)", "")
            assert shared.data(dataset, 1, EnvChoice(None, own)).own_env == ""
        for choice in (EnvChoice(None, 40), EnvChoice()):
            assert shared.data("toy/scored-v0", 1, choice).reference.expert == 40


def test_parts_of_different_limits_are_refused() -> None:
    toys.record("toy/one-v0", toys.spec("Toy", 50, steps=99), max_episode_steps=20)
    toys.record("toy/two-v0", toys.spec("Toy", 50, steps=99), max_episode_steps=30)
    with pytest.raises(DataError, match=r"toy/two-v0 cannot be combined with toy/one-v0: their time limits differ \(30 and 20 steps\)"):
        load("toy/one-v0+toy/two-v0")
    assert played(load("toy/one-v0+toy/two-v0", choice=EnvChoice(None, 25))) == [25, 25]


def test_limits_of_wrappers_count() -> None:
    wrapper = WrapperSpec("TimeLimit", "gymnasium.wrappers.common:TimeLimit", {"max_episode_steps": 7})
    spec = replace(toys.spec("Toy", 50), additional_wrappers=(wrapper,))
    assert limit_of(spec) == 7
    assert limit_of(limited(spec, 30)) == 30
    assert limit_of(spec) == 7
    assert make(limited(spec, 30).to_json()).spec.max_episode_steps == 30


def test_d4rls_limits_are_those_of_its_environments_here() -> None:
    """All but pen's: these environments need no change, and a wrong entry of the table would show."""
    for row in (row for row in table() if row["family"] == D4RL and row["dataset"].split("-")[0] in ENVIRONMENTS):
        domain = row["dataset"].split("-")[0]
        steps = ENVIRONMENTS[domain].spec().max_episode_steps
        assert (int(row["time_limit"]), steps) == ((100, 200) if domain == "pen" else (steps, steps))
