"""Evaluation: fixed episodes, independent seeds, and the same numbers as a plain loop."""

from __future__ import annotations

import multiprocessing

import gymnasium
import numpy as np
import pytest

from bench.training.shared import Shared
from envs.errors import DataError
from envs.evaluation import rollout
from envs.evaluation.rollout import Evaluator, Moments, episode_seeds

ENV = "InvertedPendulum-v5"


def spec(env_id: str = ENV) -> str:
    return gymnasium.spec(env_id).to_json()


def act(observations: np.ndarray, _: Moments | None = None) -> np.ndarray:
    """A policy whose episodes have very different lengths."""
    return np.clip(30 * observations[:, 1:2] + 3 * observations[:, 3:4] + 0.2 * np.sign(observations[:, :1]), -3, 3)


def one_by_one(seeds: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    env = gymnasium.make(ENV)
    returns, lengths = np.zeros(seeds.shape), np.zeros(seeds.shape, int)
    for index, seed in np.ndenumerate(seeds):
        observation, ended = env.reset(seed=int(seed))[0], False
        while not ended:
            observation, reward, terminated, truncated, _ = env.step(act(observation[None].astype(np.float32))[0])
            returns[index] += reward
            lengths[index] += 1
            ended = terminated or truncated
    return returns, lengths


@pytest.fixture(autouse=True, params=["threads", "processes"])
def stepper(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> str:
    """The stepper that a test's evaluators use."""
    if request.param == "processes":
        monkeypatch.setattr(rollout, "open_threads", lambda *_: None)
    return str(request.param)


@pytest.fixture
def processes_only(stepper: str) -> None:
    if stepper == "threads":
        pytest.skip("a test of processes")


@pytest.mark.parametrize("workers", [1, 2, 3])
def test_equals_a_plain_loop_for_any_number_of_workers(workers: int, stepper: str) -> None:
    seeds = episode_seeds([0, 1], 100, 6).reshape(4, 3)
    with Evaluator(spec(), workers) as evaluator:
        assert evaluator.stepper == stepper
        played = evaluator.run(act, seeds)
        again = evaluator.run(act, seeds[:2])  # fewer environments the next time
    returns, lengths = one_by_one(seeds)
    np.testing.assert_array_equal(played.lengths, lengths)
    np.testing.assert_array_equal(played.returns, returns)
    np.testing.assert_array_equal(again.lengths, lengths[:2])


@pytest.mark.parametrize("workers", [1, 2])
def test_moments_are_the_seed_and_the_step_of_every_episode(workers: int) -> None:
    seeds = episode_seeds([0, 1], 100, 6).reshape(4, 3)
    seen: list[Moments] = []

    def noting(observations: np.ndarray, moments: Moments) -> np.ndarray:
        seen.append(moments)
        return act(observations)

    with Evaluator(spec(), workers) as evaluator:
        for part in (seeds, seeds[:2]):
            seen.clear()
            played = evaluator.run(noting, part)
            now, steps = (np.stack(rows) for rows in zip(*seen, strict=True))
            for k, row in enumerate(played.lengths):
                np.testing.assert_array_equal(now[: row.sum(), k], np.repeat(part[k], row))
                np.testing.assert_array_equal(steps[: row.sum(), k], np.concatenate([np.arange(n) for n in row]))
    assert (now.dtype, steps.dtype) == (np.int64, np.int64)


def test_short_episodes_are_not_favoured() -> None:
    """The planned episodes count, not the first ones to finish."""
    seeds = np.arange(20).reshape(2, 10)
    with Evaluator(spec(), 1) as evaluator:
        played = evaluator.run(act, seeds)
    assert played.lengths.shape == (2, 10)
    assert played.lengths.min() * 2 < played.lengths.max()
    assert (played.lengths > 0).all()


def test_seeds_depend_on_member_update_and_episode_alone() -> None:
    seeds = np.stack([episode_seeds([0, 1, 2], update, 50) for update in (0, 500, 1000)])
    assert len(np.unique(seeds)) == seeds.size
    np.testing.assert_array_equal(episode_seeds([2], 500, 10)[0], seeds[1, 2, :10])


def test_an_environment_that_fails_is_reported() -> None:
    with Evaluator(spec(), 1) as evaluator, pytest.raises(DataError, match="an environment failed"):
        evaluator.run(lambda observations, _: np.zeros((len(observations), 7)), np.array([[1]]))


def _leave_environments_open() -> None:
    """Play an episode and leave the environments open, as a job in a launcher's process does for the next job."""
    setattr(rollout, "open_threads", lambda *_: None)  # noqa: B010 (in a process of its own)
    _kept.append(Evaluator(spec(), 1))
    _kept[0].run(act, np.array([[1]]))


_kept: list[Evaluator] = []


@pytest.mark.usefixtures("processes_only")
def test_a_process_that_leaves_environments_open_ends() -> None:
    """multiprocessing and joblib's loky wait for a process' children before `atexit` functions run."""
    job = multiprocessing.get_context("spawn").Process(target=_leave_environments_open)
    job.start()
    job.join(60)
    ended = job.exitcode
    job.kill()  # otherwise this process would wait for the job at its own end
    assert ended == 0


@pytest.mark.usefixtures("processes_only")
def test_a_process_that_is_killed_is_reported() -> None:
    with Evaluator(spec(), 1) as evaluator:
        evaluator.run(act, np.array([[1]]))
        (process,) = evaluator._engine._processes  # type: ignore[union-attr]
        process.kill()
        process.join()
        with pytest.raises(DataError, match=r"ended unexpectedly \(killed by SIGKILL; out of memory\?\)"):
            evaluator.run(act, np.array([[1]]))


def test_environments_in_the_middle_of_episodes_are_not_used_again() -> None:
    """Answers of an interrupted evaluation may still be in the pipes."""
    with Shared() as shared:
        evaluator = shared.evaluator(spec(), 1)
        with pytest.raises(ZeroDivisionError):
            evaluator.run(lambda *_: 1 / 0, np.array([[1]]))  # type: ignore[arg-type, return-value]
        fresh = shared.evaluator(spec(), 1)
        assert fresh is not evaluator
        fresh.run(act, np.array([[1]]))
        assert shared.evaluator(spec(), 1) is fresh
