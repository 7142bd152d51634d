"""Token tasks stepped in a batch, and answers written whole, equal Gymnasium's environments."""

from __future__ import annotations

import gymnasium
import numpy as np
import pytest

from envs.data.environments import make
from envs.errors import DataError
from envs.evaluation.episodes import Moments
from envs.evaluation.processes import Processes
from envs.evaluation.rollout import Evaluator
from envs.evaluation.stepper import stepper_of
from envs.evaluation.tokens.environment import TASKS, TokenBatch, environment_id, spec_of
from envs.evaluation.tokens.episodes import TokenEpisodes, open_tokens
from envs.evaluation.tokens.vocabulary import CONTEXT, END, decode, encode

SEEDS = np.arange(12).reshape(4, 3)


def right_or_random(observations: np.ndarray, moments: Moments) -> np.ndarray:
    """A policy of (seed, observation, step) alone: some episodes are solved, some answered at random."""
    found = []
    for seed, step, row in zip(*moments, observations, strict=True):
        env = gymnasium.make(spec_of(environment_id("addition"), "held_out")).unwrapped
        env.reset(seed=int(seed))
        plan = [*encode(env.task.solutions(env.instance)[0]), END]
        rng = np.random.default_rng([seed, step])
        random = int(rng.integers(2, 27)) if step < 5 else END
        found.append(plan[int(step)] if seed % 2 and step < len(plan) else random)
        if row.any():  # a row of zeros has ended
            assert decode(row.astype(int)).startswith(env.task.prompt(env.instance))
    return np.array(found)


def test_a_batch_equals_processes() -> None:
    spec = spec_of(environment_id("addition"), "held_out").to_json()
    assert stepper_of(spec, 1) == "batch"
    batch, processes = TokenEpisodes({"task": "addition", "split": "held_out", "size": None}), Processes(spec, 1)
    found, expected = (engine.run(right_or_random, SEEDS, lambda: None) for engine in (batch, processes))
    processes.close()
    for a, b in zip(found, expected, strict=True):
        np.testing.assert_array_equal(a, b)
    assert 0 < found.returns.mean() < 1


def test_whole_answers_equal_steps() -> None:
    with Evaluator(spec_of(environment_id("addition"), "held_out").to_json()) as environments:
        assert environments.stepper == "batch"

        def write(prompts: np.ndarray, lengths: np.ndarray, seeds: np.ndarray, end: int) -> np.ndarray:
            tokens, running = prompts.copy(), np.ones(len(prompts), bool)
            np.testing.assert_array_equal(seeds, SEEDS.ravel())
            for step in range(CONTEXT):
                at = lengths + step
                actions = right_or_random(tokens.astype(np.float32), Moments(seeds, np.full(len(seeds), step)))
                running &= at < CONTEXT
                tokens[running, at[running]] = actions[running]
                running &= actions != end
            return tokens

        found = environments.run(right_or_random, SEEDS, write=write)
        expected = environments.run(right_or_random, SEEDS)
    for a, b in zip(found, expected, strict=True):
        np.testing.assert_array_equal(a, b)


@pytest.mark.parametrize("name", TASKS)
def test_judging_whole_answers_equals_judging_steps(name: str) -> None:
    task, rng = TASKS[name], np.random.default_rng(3)
    instances = [task.sample(rng, "train") for _ in range(12)]
    stepped, whole = TokenBatch(task, instances), TokenBatch(task, instances)
    for t in range(CONTEXT):
        plans = [[*encode(task.solutions(instance)[-1]), END] for instance in instances]
        stepped.step(np.array([plan[t] if t < len(plan) and row % 3 else int(rng.integers(1, 27)) for row, plan in enumerate(plans)]))
    whole.finish(stepped.tokens.copy())
    np.testing.assert_array_equal(whole.rewards, stepped.rewards)
    np.testing.assert_array_equal(whole.lengths, stepped.lengths)
    assert whole.verdicts == stepped.verdicts
    assert not whole.running.any()


def test_other_environments_and_closed_ones() -> None:
    spec = spec_of(environment_id("maze"))
    spec.max_episode_steps = 5
    assert open_tokens(spec.to_json()) is None
    make(spec.to_json()).close()
    episodes = TokenEpisodes({"task": "maze"})
    episodes.close()
    with pytest.raises(DataError, match="closed during an evaluation"):
        episodes.run(lambda observations, moments: np.full(len(observations), END), SEEDS, lambda: None)
