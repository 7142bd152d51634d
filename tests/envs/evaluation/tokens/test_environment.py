"""The environments of token tasks: Gymnasium's rules, the batched form, and mistakes."""

from __future__ import annotations

import gymnasium
import numpy as np
import pytest
from gymnasium.utils.env_checker import check_env

from envs.data.trust import check_spec
from envs.errors import DataError
from envs.evaluation.tokens.environment import TASKS, TokenBatch, TokenTask, environment_id, spec_of
from envs.evaluation.tokens.vocabulary import CHARACTERS, CONTEXT, END, PAD, encode


@pytest.mark.parametrize("name", TASKS)
def test_it_is_a_gymnasium_environment(name: str) -> None:
    spec = spec_of(environment_id(name), split="held_out")
    check_spec("environment", spec.to_json())
    env = gymnasium.make(spec)
    check_env(env.unwrapped, skip_render_check=True)
    first, again = (env.reset(seed=5)[0] for _ in range(2))
    np.testing.assert_array_equal(first, again)


@pytest.mark.parametrize("name", TASKS)
def test_a_right_answer_has_reward_1_at_its_end(name: str) -> None:
    env = TokenTask(name)
    observation, info = env.reset(seed=1)
    prompt = encode(info["prompt"])
    np.testing.assert_array_equal(observation[: len(prompt)], prompt)
    assert (observation[len(prompt) :] == PAD).all()
    right = env.task.solutions(env.instance)[0]
    *before, last = [env.step(token) for token in [*encode(right), END]]
    assert all(step[1:] == (0.0, False, False, {}) for step in before)
    assert last[1:] == (1.0, True, False, {"success": True, "partial": 1.0})
    env.reset(seed=1)
    for token in encode(right):
        env.step(token)
    assert env.step(PAD)[2] is False  # no blank: the answer is wrong now
    assert env.step(END)[1:3] == (0.0, True)


@pytest.mark.parametrize("name", TASKS)
def test_a_full_context_ends_the_episode(name: str) -> None:
    env = TokenTask(name)
    _, info = env.reset(seed=2)
    steps = [env.step(2) for _ in range(CONTEXT - len(info["prompt"]))]
    assert [step[2] for step in steps] == [False] * (len(steps) - 1) + [True]
    assert steps[-1][1] == 0


@pytest.mark.parametrize("name", TASKS)
def test_the_batched_form_equals_the_plain_one(name: str) -> None:
    """Episodes of different lengths side by side: right answers, with and without a wrong token, and random ones."""
    task, rng = TASKS[name], np.random.default_rng(0)
    plain = [TokenTask(name, split) for split in ("train", "held_out", "larger") for _ in range(8)]
    for seed, env in enumerate(plain):
        env.reset(seed=seed)
    batch = TokenBatch(task, [env.instance for env in plain])
    plans = []
    for row, env in enumerate(plain):
        plan = [*encode(task.solutions(env.instance)[-1]), END]
        if row % 3 == 1:
            plan[int(rng.integers(len(plan)))] = int(rng.integers(len(CHARACTERS)))
        plans.append(plan + rng.integers(0, len(CHARACTERS), CONTEXT).tolist())
    rewards, partial = np.zeros(len(plain)), np.full(len(plain), np.nan)
    for t in range(CONTEXT):
        running, actions = batch.running.copy(), np.array([plan[t] for plan in plans])
        ends = batch.step(actions)
        for row in np.flatnonzero(running):
            observation, reward, ended, _, info = plain[row].step(int(actions[row]))
            np.testing.assert_array_equal(observation, batch.tokens[row])
            assert ended == ends[row]
            rewards[row] += reward
            partial[row] = info.get("partial", np.nan)
    assert not batch.running.any()
    np.testing.assert_array_equal(batch.rewards, rewards)
    np.testing.assert_array_equal([verdict.partial for verdict in batch.verdicts if verdict], partial)
    assert 0.3 < rewards.mean() < 1


def test_mistakes_are_one_line() -> None:
    with pytest.raises(DataError, match=r"^environment 'iwsft/Adition-v0' is no token task; did you mean iwsft/Addition-v0\?"):
        spec_of("iwsft/Adition-v0")
    with pytest.raises(DataError, match=r"^token task 'mase' is unknown; did you mean maze\?"):
        TokenTask("mase")
    with pytest.raises(DataError, match=r"^maze: split = test: expected train, held_out, larger$"):
        TokenTask("maze", "test")
    with pytest.raises(DataError, match=r"^addition: size = 4: expected 2, 3 \(digits of split train\)$"):
        spec_of("iwsft/Addition-v0", size=4)
