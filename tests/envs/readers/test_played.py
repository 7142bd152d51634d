"""Wrappers of a recording, and combinations of data sets: the environment's own returns, and actions in the same units."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import gymnasium
import numpy as np
import pytest
import torch
from gymnasium import wrappers

from bench.training.shared import Shared
from envs.data.logged_data import differences_between
from envs.data.references import Reference
from envs.errors import DataError
from envs.evaluation.measured_reference import measured_reference, random_returns
from envs.evaluation.rollout import Evaluator, Moments
from envs.readers.arrays import data_from_arrays
from envs.readers.load import load
from envs.readers.reference_scores import stated
from tests.helpers import toys
from tests.helpers.logged import write_spec

pytestmark = pytest.mark.filterwarnings("ignore:.*precision lowered by casting", "ignore:.*out of date")
STEPS = 200  # of Pendulum-v1
Wrap = Callable[[gymnasium.Env], gymnasium.Env]


class Drift(gymnasium.Wrapper, gymnasium.utils.RecordConstructorArgs):
    """A wrapper of somebody's own: rewards depend on the number of steps ever played, or, if not `kept`, of the episode."""

    ever = 0

    def __init__(self, env: gymnasium.Env, kept: bool = True) -> None:
        gymnasium.utils.RecordConstructorArgs.__init__(self, kept=kept)
        super().__init__(env)
        self.kept = kept

    def reset(self, **arguments: Any) -> Any:
        self.ever = self.ever if self.kept else 0
        return super().reset(**arguments)

    def step(self, action: Any) -> Any:
        self.ever += 1
        observation, reward, *rest = super().step(action)
        return observation, float(reward) + self.ever, *rest


class Own(gymnasium.RewardWrapper, gymnasium.utils.RecordConstructorArgs):
    """A reward wrapper of somebody's own."""

    def __init__(self, env: gymnasium.Env) -> None:
        gymnasium.utils.RecordConstructorArgs.__init__(self)
        super().__init__(env)

    def reward(self, reward: Any) -> float:
        return 100.0


@pytest.fixture(autouse=True)
def root(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("MINARI_DATASETS_PATH", str(tmp_path))
    monkeypatch.setenv("IWSFT_TRUSTED_PACKAGES", "tests.envs.readers.test_played,tests.helpers.toys")
    return tmp_path


def pendulum(wrap: Wrap = lambda env: env, **kwargs: Any) -> gymnasium.Env:
    return wrap(gymnasium.make("Pendulum-v1", disable_env_checker=True, **kwargs))


def record(dataset: str, env: gymnasium.Env, unit_action: float = 0.5, episodes: int = 2, **metadata: Any) -> None:
    """Episodes in which every action is `unit_action` of the unit box of `env`."""
    found = []
    space = env.action_space
    assert isinstance(space, gymnasium.spaces.Box)
    finite = np.isfinite(space.high)
    high = np.where(finite, space.high, 4.0).astype(np.float32)  # ClipAction has no bounds: twice Pendulum's
    for seed in range(episodes):
        observation, _ = env.reset(seed=seed)
        rows, observations, ended = [], [observation], False
        while not ended:
            observation, reward, terminated, truncated, _ = env.step(unit_action * high)
            observations.append(observation)
            rows.append((unit_action * high, float(reward), terminated, truncated))
            ended = terminated or truncated
        actions, rewards, terminations, truncations = (np.asarray(column) for column in zip(*rows, strict=True))
        arrays = {"actions": actions, "rewards": rewards, "terminations": terminations, "truncations": truncations}
        found.append({"observations": np.asarray(observations), **arrays})
    spaces: dict[str, Any] = {"observation_space": env.observation_space, "action_space": space}
    folder = write_spec(dataset, found, env.spec, **spaces)
    path = folder / "data" / "metadata.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | metadata))


def returns(env_spec: str, units: Any, unit_action: float, times: int = 1) -> list[float]:
    """Returns of `times` evaluations of the same episode in one process, every action the same."""
    with Evaluator(env_spec, workers=1) as environments:

        def act(observations: np.ndarray, _: Moments) -> np.ndarray:
            return units.to_env(np.full((len(observations), 1), unit_action, np.float32))

        return [float(environments.run(act, np.array([[0]])).returns[0, 0]) for _ in range(times)]


def plain_return(unit_action: float) -> float:
    """The environment's own return of the episode that `returns` plays."""
    env = pendulum()
    env.reset(seed=0)
    return sum(float(env.step(np.float32([2 * unit_action]))[1]) for _ in range(STEPS))


REWARDS: dict[str, Wrap] = {
    "NormalizeReward": wrappers.NormalizeReward,
    "ClipReward": lambda env: wrappers.ClipReward(env, -1.0, 1.0),
    "Own": Own,
}


@pytest.mark.parametrize("name", list(REWARDS))
@pytest.mark.parametrize("metadata", [{}, {"ref_min_score": -1000.0, "ref_max_score": 0.0}])
def test_rewards_are_the_environments_own(name: str, metadata: dict[str, float]) -> None:
    record("tt/rewards-v0", pendulum(REWARDS[name]), **metadata)
    for data in (load("tt/rewards-v0"), load("tt/rewards-v0")):  # read, and from the cache
        assert name not in data.env_spec
        assert f"recorded through {name}" in data.note
        assert (data.reference, data.other_rewards, f"recorded through {name}" in data.unscored) == (None, True, True)
    first, again = returns(data.env_spec, data.units, 0.5, times=2)
    assert first == again == pytest.approx(plain_return(0.5), rel=1e-5)


def test_observations_with_a_running_mean_are_refused() -> None:
    record("tt/observations-v0", pendulum(wrappers.NormalizeObservation))
    with pytest.raises(DataError, match=r"^tt/observations-v0: its observations were recorded through NormalizeObservation, .*record the"):
        load("tt/observations-v0")


def test_a_running_mean_that_only_the_recording_had_is_refused(root: Path) -> None:
    """The environment of evaluation of such data, a plain one, shows observations that the policy has never seen."""
    env = pendulum(wrappers.NormalizeObservation)
    record("tt/both-v0", env, eval_env_spec=pendulum().spec.to_json())
    with pytest.raises(DataError, match="NormalizeObservation"):
        load("tt/both-v0")


KEPT: dict[str, Wrap] = {
    "TimeAwareObservation": wrappers.TimeAwareObservation,
    "RescaleAction": lambda env: wrappers.RescaleAction(env, -1.0, 1.0),
    "RescaleObservation": lambda env: wrappers.RescaleObservation(env, -1, 1),
}


@pytest.mark.parametrize("wrap", KEPT.values(), ids=list(KEPT))
def test_other_wrappers_of_observations_and_actions_stay(wrap: Wrap) -> None:
    record("tt/kept-v0", pendulum(wrap))
    data = load("tt/kept-v0")
    assert (data.note, data.unscored) == ("", "")
    np.testing.assert_allclose(data.trajectories.actions, 0.5)
    assert data.observation_width == pendulum(wrap).observation_space.shape[0]  # type: ignore[index]
    first, again = returns(data.env_spec, data.units, 0.5, times=2)
    assert first == again == pytest.approx(plain_return(0.5), rel=1e-5)
    assert float(data.trajectories.returns[0]) == pytest.approx(first, rel=1e-5)


def test_clipped_actions_are_those_that_the_environment_took() -> None:
    record("tt/clip-v0", pendulum(wrappers.ClipAction), unit_action=0.75)  # 3, clipped to 2
    data = load("tt/clip-v0")
    np.testing.assert_array_equal(data.trajectories.actions, 1.0)
    assert data.units.high.tolist() == [2.0]


def test_a_wrapper_that_films_is_left_out(root: Path) -> None:
    record("tt/statistics-v0", pendulum(wrappers.RecordEpisodeStatistics))
    assert "RecordEpisodeStatistics" not in load("tt/statistics-v0").env_spec


def test_a_wrapper_of_somebodys_own_must_not_keep_a_state() -> None:
    record("tt/kept-v0", pendulum(lambda env: Drift(env, kept=True)))
    with pytest.raises(DataError, match="tt/kept-v0: its environment, wrapped in Drift, gives other rewards or observations when"):
        load("tt/kept-v0")
    record("tt/reset-v0", pendulum(lambda env: Drift(env, kept=False)))
    assert "Drift" in load("tt/reset-v0").env_spec


# Combinations.


def rescaled(env: gymnasium.Env) -> gymnasium.Env:
    return wrappers.RescaleAction(env, -1.0, 1.0)


@pytest.mark.parametrize("order", [("plain", "scaled"), ("scaled", "plain")])
def test_other_units_of_one_environment_are_reconciled(order: tuple[str, str]) -> None:
    record("tt/plain-v0", pendulum(), unit_action=0.75)
    record("tt/scaled-v0", pendulum(rescaled), unit_action=0.25)
    expected = {"plain": 0.75, "scaled": 0.25}
    data = load("+".join(f"tt/{name}-v0" for name in order))
    half = 2 * STEPS
    np.testing.assert_array_equal(data.trajectories.actions[:half], expected[order[0]])
    np.testing.assert_array_equal(data.trajectories.actions[half:], expected[order[1]])
    assert data.clipped == 0
    assert data.units.high.tolist() == ([2.0] if order[0] == "plain" else [1.0])  # those of the first's environment
    assert returns(data.env_spec, data.units, 0.5)[0] == pytest.approx(plain_return(0.5), rel=1e-5)


@pytest.mark.parametrize(
    ("other", "said"),
    [
        (lambda: pendulum(g=3.0), "Pendulum-v1: g = 3.0 and 'its default'"),
        (lambda: pendulum(max_episode_steps=100), "Pendulum-v1: 100 and 200 steps"),
        (lambda: pendulum(lambda env: wrappers.StickyAction(env, 0.5)), "Pendulum-v1: wrappers StickyAction"),
        (lambda: pendulum(wrappers.NormalizeReward), "their rewards were changed by different wrappers"),
    ],
)
def test_other_environments_are_refused(other: Callable[[], gymnasium.Env], said: str) -> None:
    record("tt/plain-v0", pendulum())
    record("tt/other-v0", other())
    with pytest.raises(DataError, match="tt/other-v0 cannot be combined with tt/plain-v0: ") as error:
        load("tt/plain-v0+tt/other-v0")
    assert said in str(error.value)
    with pytest.raises(DataError):
        load("tt/other-v0+tt/plain-v0")


def test_other_versions_are_refused() -> None:
    record("tt/old-v0", gymnasium.make("Hopper-v4"), episodes=1)
    record("tt/new-v0", gymnasium.make("Hopper-v5"), episodes=1)
    with pytest.raises(DataError, match=r"their environments differ \(Hopper-v5 and Hopper-v4\)"):
        load("tt/old-v0+tt/new-v0")


def test_how_an_environment_is_drawn_makes_no_other_one() -> None:
    record("tt/plain-v0", pendulum())
    record("tt/drawn-v0", pendulum(render_mode="rgb_array"))
    assert load("tt/plain-v0+tt/drawn-v0").trajectories.num_episodes == 4


def test_declared_units_that_are_not_the_environments_are_refused(root: Path) -> None:
    record("tt/declared-v0", pendulum())
    path = root / "tt/declared-v0/data/metadata.json"
    metadata = json.loads(path.read_text())
    space = json.loads(metadata["action_space"])
    metadata["action_space"] = json.dumps(space | {"low": [-1.0], "high": [1.0]})
    path.write_text(json.dumps(metadata))
    with pytest.raises(DataError, match=r"tt/declared-v0: its actions are declared as Box\(-1.0, 1.0.* Pendulum-v1 are Box\(-2.0, 2.0"):
        load("tt/declared-v0")


def test_pi_refs_data_are_of_the_same_environment() -> None:
    record("tt/plain-v0", pendulum())
    record("tt/scaled-v0", pendulum(rescaled))
    record("tt/heavy-v0", pendulum(g=20.0))
    plain, scaled, heavy = (load(f"tt/{name}-v0") for name in ("plain", "scaled", "heavy"))
    assert differences_between(plain, scaled) == differences_between(scaled, plain) == ""
    assert differences_between(plain, heavy) == "environments Pendulum-v1: g = 'its default' and 20.0"


def test_arrays_of_such_observations_are_refused_before_they_are_written(root: Path) -> None:
    env = pendulum(wrappers.NormalizeObservation)
    with pytest.raises(DataError, match="NormalizeObservation"):
        data_from_arrays("mine/x-v0", np.zeros((4, 3)), np.zeros((4, 1)), np.zeros(4), np.arange(4) == 3, env=env)
    assert not (root / "mine").exists()


# Scores.


def test_unusable_reference_scores_leave_raw_returns() -> None:
    record("tt/equal-v0", pendulum(), ref_min_score=1.0, ref_max_score=1.0)
    for data in (load("tt/equal-v0"), load("tt/equal-v0")):
        assert (data.reference, data.other_rewards) == (None, False)
        assert "ref_min_score = 1 is not below ref_max_score = 1" in data.unscored
        assert data.note == data.unscored
    with Shared(lambda *_: pytest.fail("no reference is measured")) as shared:
        assert shared.data("tt/equal-v0").reference is None


@pytest.mark.parametrize(("share", "measured"), [(1e-8, False), (0.0, False), (1e-4, True)])
def test_returns_apart_by_rounding_alone_are_no_reference(share: float, measured: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    """Logged rewards are float32, those of the environment float64: five of 0.1 each make 0.5000000075 and 0.5."""
    monkeypatch.setattr("envs.evaluation.measured_reference._random_returns", lambda *_: np.full(100, 0.5))
    data: Any = SimpleNamespace(trajectories=SimpleNamespace(returns=torch.full((20,), 0.5 * (1 + share), dtype=torch.float64)))
    assert (measured_reference(data, None) is not None) == measured  # type: ignore[arg-type]
    metadata = {"ref_min_score": 0.5, "ref_max_score": 0.5 * (1 + share)}
    assert (stated(metadata).reference is not None, bool(stated(metadata).fault)) == (measured, not measured)


def test_a_measured_reference_has_an_error() -> None:
    toys.record("tt/boxed-v0", toys.spec("Boxed", low=[-1.0], high=[1.0]), act=lambda _: np.ones(1, np.float32))  # pays the action
    data = load("tt/boxed-v0")
    with Evaluator(data.env_spec, workers=1) as environments:
        returns = random_returns(data, environments)
        reference = measured_reference(data, environments)
    assert len(np.unique(returns)) == len(returns) == 100
    assert reference == Reference("measured", float(returns.mean()), 5.0, pytest.approx(returns.std(ddof=1) / 10), 0.0)
    assert measured_reference(data, environments) == reference  # kept: the closed environments are not asked again
