"""The fork: its rules, its demonstrators, and its built-in data set."""

from __future__ import annotations

import numpy as np
import pytest
from gymnasium.utils.env_checker import check_env

from envs.evaluation.fork import Fork
from envs.recorded import fork
from envs.recorded.episodes import Job, run_episode
from envs.recorded.record import packages_of


def walk(env: Fork, *steps: tuple[float, float]) -> list[tuple[float, bool]]:
    """(reward, terminated) of each step."""
    return [env.step(np.array(step))[1:3] for step in steps]


def test_it_is_a_gymnasium_environment() -> None:
    check_env(Fork(), skip_render_check=True)


def test_straight_ahead_hits_the_obstacle_and_a_detour_arrives() -> None:
    env = Fork()
    env.reset(seed=0)
    env.position = np.zeros(2)
    assert walk(env, *[(1.0, 0.0)] * 7)[-1] == (0.0, True)  # 3.5 is inside the radius of 2 around 5
    env.reset(seed=0)
    env.position = np.zeros(2)
    up, over, down = [(0.0, 1.0)] * 5, [(1.0, 0.0)] * 20, [(0.0, -1.0)] * 5
    outcomes = walk(env, *up, *over, *down)
    arrived = next(i for i, (reward, _) in enumerate(outcomes) if reward > 0)
    reward, ended = outcomes[arrived]
    assert ended
    assert 1 + (40 - arrived - 1) / 40 <= reward < 1 + (40 - arrived) / 40
    env.position, env.time = np.array([9.0, 0.0]), 30
    assert env.step(np.array([1.0, 0.0]))[1] == pytest.approx(1 + (40 - 30.4) / 40)  # 0.2 of a stride of 0.5 to the circle
    assert all(outcome == (0.0, False) for outcome in outcomes[:arrived])


def test_demonstrators_go_either_way_and_are_their_own() -> None:
    sides = [fork.traits(level)[0] for level in range(fork.LEVELS)]
    assert 30 < sides.count(1) < 70
    assert len({fork.traits(level)[1:] for level in range(fork.LEVELS)}) == fork.LEVELS
    job = Job("fork", fork.ENVIRONMENT, 40, 3)
    episode, again = run_episode(job), run_episode(job)
    np.testing.assert_array_equal(episode.observations, again.observations)
    assert (np.sign(episode.observations[10:-1, 1]) == fork.traits(40)[0]).mean() > 0.9


def test_log_prob_is_the_density_of_the_action() -> None:
    from scipy import stats

    episode = run_episode(Job("fork", fork.ENVIRONMENT, 7, 0))
    controller = fork.Controller(None, 7)
    for t in range(len(episode.rewards)):
        a = episode.actions[t].astype(np.float64)
        if np.abs(a).max() > 0.999:
            continue
        mean, _ = controller.act(episode.observations[t], None)
        density = stats.norm.logpdf(np.arctanh(a), np.arctanh(mean), np.exp(controller.log_std)) - np.log1p(-(a**2))
        np.testing.assert_allclose(episode.log_prob[t], density.sum(), rtol=1e-3, atol=1e-2)


def test_only_tasks_of_gymnasium_robotics_need_it() -> None:
    """The suite's own tasks are recorded with Gymnasium alone."""
    assert packages_of("envs.evaluation.fork:Fork") == ("gymnasium",)
    assert packages_of("gymnasium.envs.mujoco.hopper_v5:HopperEnv") == ("mujoco", "gymnasium")
    assert packages_of("gymnasium_robotics.envs.maze.point_maze:PointMazeEnv") == ("mujoco", "gymnasium", "gymnasium-robotics")
