"""Threads: whole episodes are equal to Gymnasium's to the bit, for every task that uses them."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import gymnasium
import numpy as np
import pytest
from gymnasium.envs.mujoco.ant_v5 import AntEnv
from gymnasium.envs.mujoco.hopper_v5 import HopperEnv

from envs.data.environments import make
from envs.data.spaces import Flattener
from envs.errors import DataError
from envs.evaluation.batch import OneByOne
from envs.evaluation.crew import Crew
from envs.evaluation.known import digest_of
from envs.evaluation.locomotion import Locomotion
from envs.evaluation.physics import Physics
from envs.evaluation.rollout import Evaluator, Moments
from envs.evaluation.stepper import FEW, open_threads, stepper_of, task_of
from envs.evaluation.threads import Threads

LIMIT = 120
TASKS: list[tuple[str, dict[str, Any]]] = [
    ("Hopper-v5", {}),
    ("Hopper-v5", {"terminate_when_unhealthy": False, "exclude_current_positions_from_observation": False, "ctrl_cost_weight": 1}),
    ("Hopper-v5", {"healthy_state_range": (-4.0, 4.0), "frame_skip": 2, "reset_noise_scale": 0.05, "healthy_reward": 2}),
    ("HalfCheetah-v5", {}),
    ("HalfCheetah-v5", {"exclude_current_positions_from_observation": False, "forward_reward_weight": 0.3, "reset_noise_scale": 0.3}),
    ("Walker2d-v5", {}),
    ("Walker2d-v5", {"terminate_when_unhealthy": False, "healthy_z_range": (0.9, 1.3)}),
    ("Walker2d-v5", {"exclude_current_positions_from_observation": False, "healthy_angle_range": (-0.3, 0.3), "healthy_reward": 0.5}),
    ("Ant-v5", {}),
    ("Ant-v5", {"include_cfrc_ext_in_observation": False, "exclude_current_positions_from_observation": False, "frame_skip": 3}),
    ("Ant-v5", {"terminate_when_unhealthy": False, "main_body": 3, "contact_cost_weight": 0.1, "contact_force_range": (-9, 9)}),
    ("Swimmer-v5", {}),
    ("Swimmer-v5", {"exclude_current_positions_from_observation": False, "ctrl_cost_weight": 0.1}),
    ("Ant-v5", {"healthy_z_range": (0.5, 0.8)}),
    ("Hopper-v4", {}),  # from here on by Gymnasium's own code
    ("Ant-v4", {"use_contact_forces": True}),
    ("Humanoid-v5", {}),
    ("Pusher-v5", {}),
    ("InvertedDoublePendulum-v5", {}),
]  # fmt: skip

BY_FORMULAS = ("Hopper-v5", "HalfCheetah-v5", "Walker2d-v5", "Ant-v5", "Swimmer-v5")


def spec_of(env_id: str, limit: int = LIMIT, kwargs: dict[str, Any] | None = None, **changes: Any) -> str:
    spec = gymnasium.spec(env_id)
    return json.dumps(json.loads(spec.to_json()) | {"max_episode_steps": limit, "kwargs": spec.kwargs | (kwargs or {})} | changes)


class Policy:
    """Actions from a random linear map of the observation, plus noise by seed and step; every observation [T, obs] by seed."""

    def __init__(self, env: Any, scale: float) -> None:
        self.high, self.scale = env.action_space.high, scale
        self.weights = np.random.default_rng(0).normal(size=(env.observation_space.shape[0], len(self.high)))
        self.seen: dict[int, list[np.ndarray]] = {}

    def __call__(self, observations: np.ndarray, moments: Moments) -> np.ndarray:
        return np.stack([self.one(*row) for row in zip(observations, *moments, strict=True)])

    def one(self, observation: np.ndarray, seed: int, step: int) -> np.ndarray:
        seen = self.seen.setdefault(int(seed), [])
        if len(seen) == step:  # rows of finished environments repeat
            seen.append(observation.copy())
        noise = np.random.default_rng((int(seed), int(step))).uniform(-1, 1, len(self.high))
        unit = np.tanh(self.scale * (observation[None].astype(np.float64) @ self.weights)[0]) + noise
        return np.clip(unit * self.high, -self.high, self.high).astype(np.float32)


def by_gymnasium(env_spec: str, seeds: np.ndarray, policy: Policy) -> tuple[np.ndarray, np.ndarray]:
    """Returns and lengths of a plain loop."""
    env = make(env_spec)
    returns, lengths = np.zeros(seeds.shape), np.zeros(seeds.shape, int)
    for index, seed in np.ndenumerate(seeds):
        observation, ended = env.reset(seed=int(seed))[0], False
        while not ended:
            action = policy.one(observation.astype(np.float32), int(seed), int(lengths[index]))
            observation, reward, terminated, truncated, _ = env.step(action)
            returns[index] += float(reward)
            lengths[index] += 1
            ended = terminated or truncated
    env.close()
    return returns, lengths


@pytest.mark.parametrize("scale", [0.0, 0.3], ids=["random", "feedback"])
@pytest.mark.parametrize(("env_id", "kwargs"), TASKS)
def test_whole_episodes_are_equal_to_gymnasium(env_id: str, kwargs: dict[str, Any], scale: float) -> None:
    env_spec, seeds = spec_of(env_id, kwargs=kwargs), np.arange(6).reshape(3, 2)
    env = make(env_spec)
    threads, loop = Policy(env, scale), Policy(env, scale)
    with Evaluator(env_spec, 2) as evaluator:
        assert evaluator.stepper == "threads"
        assert (task_of(env_spec) is not None) == (env_id in BY_FORMULAS)
        played = evaluator.run(threads, seeds)
    returns, lengths = by_gymnasium(env_spec, seeds, loop)
    np.testing.assert_array_equal(played.lengths, lengths)
    np.testing.assert_array_equal(played.returns, returns)
    assert np.isnan(played.successes).all()
    assert len(loop.seen) == seeds.size
    for seed in seeds.ravel().tolist():
        np.testing.assert_array_equal(threads.seen[seed], loop.seen[seed])


def test_finished_environments_are_not_stepped(monkeypatch: pytest.MonkeyPatch) -> None:
    stepped: list[int] = []
    step = Physics.step

    def noted(self: Physics, crew: Any, running: Any, actions: np.ndarray) -> None:
        stepped.extend(running)
        step(self, crew, running, actions)

    env_spec = spec_of("Hopper-v5")
    policy = Policy(make(env_spec), 0.0)
    stepper_of(env_spec)  # its check steps environments, too
    monkeypatch.setattr(Physics, "step", noted)
    with Evaluator(env_spec, 2) as evaluator:
        played = evaluator.run(policy, np.arange(4)[:, None])
    assert [stepped.count(i) for i in range(4)] == played.lengths[:, 0].tolist()
    assert len(set(played.lengths.ravel().tolist())) > 1


def test_more_and_fewer_environments_than_before() -> None:
    env_spec = spec_of("Hopper-v5", 20)
    policy = Policy(make(env_spec), 0.0)
    with Evaluator(env_spec, 3) as evaluator:
        found = [evaluator.run(policy, np.arange(count)[:, None]).returns[:, 0] for count in (1, 5, 2, 5)]
    for returns in found:
        np.testing.assert_array_equal(returns, found[1][: len(returns)])


def test_an_interrupted_evaluation_leaves_no_threads_and_its_simulations_start_afresh() -> None:
    env_spec, seeds = spec_of("HalfCheetah-v5", 30), np.arange(4)[:, None]
    policy = Policy(make(env_spec), 0.0)
    threads = open_threads(env_spec, 2)
    assert threads is not None
    before, steps = threading.active_count(), iter(range(10))

    def interrupt() -> None:
        if next(steps) == 7:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        threads.run(policy, seeds, interrupt)
    assert threading.active_count() == before
    again = threads.run(policy, seeds, lambda: None)
    with Evaluator(env_spec, 1) as evaluator:
        np.testing.assert_array_equal(evaluator.run(policy, seeds).returns, again.returns)


def test_close_ends_an_evaluation_of_another_thread() -> None:
    evaluator = Evaluator(spec_of("HalfCheetah-v5", 10**6), 1)
    zeros, begun, errors = np.zeros((2, 6), np.float32), threading.Event(), []

    def play() -> None:
        with pytest.raises(DataError, match="closed") as caught:
            evaluator.run(lambda *_: zeros, np.arange(2)[:, None], begun.set)
        errors.append(caught.value)

    playing = threading.Thread(target=play)
    playing.start()
    assert begun.wait(30)
    evaluator.close()
    playing.join(30)
    assert len(errors) == 1


def test_actions_of_another_width_are_reported_in_one_line() -> None:
    with Evaluator(spec_of("Hopper-v5"), 2) as evaluator, pytest.raises(DataError) as caught:
        evaluator.run(lambda observations, _: np.zeros((len(observations), 7), np.float32), np.array([[1], [2]]))
    assert str(caught.value).startswith("an environment failed: ValueError: actions have shape (7,): expected (3,) (physics.py, line ")


@pytest.mark.parametrize("size", [1, 3])
def test_an_error_in_a_thread_is_reported_after_all_have_stopped(size: int) -> None:
    done: list[int] = []

    def work(pieces: Iterator[int]) -> None:
        for piece in pieces:
            if piece == 2:
                raise FloatingPointError("piece 2")
            done.append(piece)

    with Crew(size) as crew:
        with pytest.raises(FloatingPointError, match="piece 2"):
            crew.do(work, range(6))
        done.clear()
        crew.do(work, [5, 7, 9])
        assert sorted(done) == [5, 7, 9]


def test_memory_does_not_grow() -> None:
    env_spec, seeds = spec_of("HalfCheetah-v5", 5), np.arange(16)[:, None]
    with Evaluator(env_spec, 2) as evaluator:
        zeros = np.zeros((16, 6), np.float32)
        resident = []
        for _ in range(40):
            evaluator.run(lambda *_: zeros, seeds)
            resident.append(int(Path("/proc/self/statm").read_text().split()[1]))
    assert resident[-1] - resident[9] < 512  # pages


# What keeps the processes.

MANY = FEW + 1

CLIPPED = {"name": "ClipReward", "entry_point": "gymnasium.wrappers:ClipReward", "kwargs": {"min_reward": 0.0, "max_reward": 1.0}}


@pytest.mark.parametrize(
    ("env_id", "change"),
    [
        ("InvertedPendulum-v5", {}),
        ("Hopper-v5", {"additional_wrappers": [CLIPPED]}),
        ("Hopper-v5", {"order_enforce": False}),
        ("Hopper-v5", {"entry_point": "envs.evaluation.d4rl_ant:ContactFreeAnt"}),
    ],
    ids=["class", "wrapper", "no check of the order", "entry point"],
)  # fmt: skip
def test_other_environments_keep_the_processes(env_id: str, change: dict[str, Any]) -> None:
    """With so many cores that threads would wait for each other in the environment's own code."""
    assert stepper_of(spec_of(env_id), MANY) == ("processes" if not change else "threads")
    assert stepper_of(spec_of(env_id, **change), MANY) == "processes"


@pytest.mark.parametrize("method", ["_get_rew", "step", "is_healthy"])
def test_another_gymnasium_keeps_the_processes(method: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """A method with other code, here of another class."""
    task_of.cache_clear()
    digest_of.cache_clear()
    with monkeypatch.context() as patch:
        patch.setattr(HopperEnv, method, vars(AntEnv)[method])
        assert stepper_of(spec_of("Hopper-v5"), MANY) == "processes"
    task_of.cache_clear()
    digest_of.cache_clear()
    assert stepper_of(spec_of("Hopper-v5"), MANY) == "threads"


@pytest.mark.parametrize("method", ["rewards", "observe", "terminated"])
def test_results_that_differ_keep_the_processes(method: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """The first steps are compared with Gymnasium's wherever threads are used."""
    changed: dict[str, Any] = {
        "rewards": lambda self, before, arrays, actions: before * 0,
        "observe": lambda self, arrays, out: out.fill(0),
        "terminated": lambda self, arrays: np.ones(len(arrays["qpos"]), bool),
    }
    task_of.cache_clear()
    with monkeypatch.context() as patch:
        patch.setattr(Locomotion, method, changed[method])
        assert stepper_of(spec_of("HalfCheetah-v5"), MANY) == "processes"
    task_of.cache_clear()


@pytest.mark.parametrize(
    ("spec", "expected"),
    [
        (spec_of("Hopper-v4"), "threads"),
        (spec_of("Ant-v4", entry_point="envs.evaluation.d4rl_ant:ContactFreeAnt"), "threads"),
        (spec_of("Hopper-v5", additional_wrappers=[CLIPPED]), "threads"),
        (spec_of("Hopper-v5", additional_wrappers=[CLIPPED | {"entry_point": "tests.helpers.toys:Shifted"}]), "processes"),
        (spec_of("CartPole-v1"), "processes"),
        (spec_of("Hopper-v5", kwargs={"render_mode": "human"}), "processes"),
        (spec_of("Hopper-v5", entry_point="gymnasium.envs.mujoco.hopper_v5:Absent"), "processes"),
        (spec_of("Hopper-v5", entry_point="gymnasium.envs.mujoco.mujoco_rendering:MujocoRenderer"), "processes"),
    ],
)
def test_few_threads_call_the_code_of_gymnasiums_environments_on_mujoco(spec: str, expected: str) -> None:
    assert stepper_of(spec, FEW) == expected
    assert stepper_of(spec, MANY) == "processes"


def test_successes_and_own_errors_are_those_of_the_environments() -> None:
    """An environment of Gymnasium's own that reports a success, and one that fails, stepped by its own code."""

    class Reports(gymnasium.Env):
        observation_space = gymnasium.spaces.Box(-9, 9, (1,))

        def reset(self, *, seed: int | None = None, options: Any = None) -> Any:
            self.left = 1 + int(seed or 0)
            return np.zeros(1, np.float32), {}

        def step(self, action: Any) -> Any:
            if action[0] > 5:
                raise ValueError("fell off\n the table")
            self.left -= 1
            return np.full(1, self.left, np.float32), 0.5, self.left == 0, False, {"success": self.left == 2}

    batch = OneByOne.__new__(OneByOne)
    batch.environments, batch.width = [Reports(), Reports()], 1
    batch.flatten = Flattener(Reports.observation_space)
    threads = Threads(lambda count: batch, 2)
    played = threads.run(lambda observations, _: observations, np.array([[0, 3], [4, 1]]), lambda: None)
    assert played.lengths.tolist() == [[1, 4], [5, 2]]
    assert played.successes.tolist() == [[0, 1], [1, 0]]
    assert played.returns.tolist() == [[0.5, 2], [2.5, 1]]
    with pytest.raises(DataError, match=r"^an environment failed: ValueError: fell off the table \(test_threads.py, line \d+\)$"):
        threads.run(lambda observations, _: observations + 6, np.array([[0], [0]]), lambda: None)


def test_an_environment_that_fails_in_the_comparison_is_left_to_processes() -> None:
    """Gymnasium takes any value for the weight and fails in the first step: the processes report it."""
    assert task_of(spec_of("Hopper-v5", kwargs={"ctrl_cost_weight": [1, 2]})) is None
