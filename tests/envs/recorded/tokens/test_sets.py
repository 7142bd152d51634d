"""The data sets of token tasks: episodes that their environment repeats, and what is recorded."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from envs.evaluation.tokens.environment import TASKS, TokenTask
from envs.evaluation.tokens.vocabulary import CHARACTERS
from envs.inspect.facts import facts_of
from envs.readers.behaviours import behaviours
from envs.readers.densities import log_densities
from envs.readers.load import load
from envs.recorded.record import built_in_sets
from envs.recorded.tokens.sets import QUALITIES, TokenSet, episodes, record_tokens, token_sets
from envs.recorded.tokens.solvers import log_probs, solver

DATASET = "iwsft/countdown/mixed-v0"


def test_every_task_has_three_sets() -> None:
    assert set(token_sets()) == {f"iwsft/{task}/{quality}-v0" for task in TASKS for quality in ("weak", "medium", "mixed")}
    assert set(token_sets()) <= set(built_in_sets())


@pytest.mark.parametrize("task", TASKS)
def test_episodes_are_those_of_the_environment(task: str) -> None:
    """The actions, played in the environment, give the recorded observations and rewards; instances are training instances."""
    chosen, solved = TokenSet("test/set-v0", task, QUALITIES["mixed"], 60), 0
    for e in episodes(chosen):
        env = TokenTask(task, size=e.size)
        text = "".join(CHARACTERS[int(token)] for token in e.observations[0]).rstrip("_")
        env.reset(seed=0)
        while env.task.prompt(env.instance) != text:  # set the instance by its prompt
            env.instance = _instance(task, text)
            env.batch = type(env.batch)(env.task, [env.instance])
        assert not env.task.held_out(env.instance)
        for t, action in enumerate(e.actions.tolist()):
            np.testing.assert_array_equal(env.batch.tokens[0], e.observations[t])
            observation, reward, ended, _, info = env.step(action)
        np.testing.assert_array_equal(observation, e.observations[-1])
        assert ended
        assert (reward == 1) == e.verdict.solved == info["success"]
        assert info["partial"] == e.verdict.partial
        assert np.isfinite(e.log_prob).all()
        mixture = [solver(level) for level in chosen.levels]
        np.testing.assert_allclose(e.log_prob, log_probs(mixture, env.task.solutions(env.instance), e.actions))
        solved += e.verdict.solved
    assert 5 < solved < 58


def _instance(task: str, prompt: str) -> object:
    """The instance of a prompt."""
    if task == "addition":
        a, b = prompt.rstrip("=").split("+")
        return int(a), int(b)
    if task == "countdown":
        numbers, target = prompt.rstrip("=").split(":")
        return tuple(map(int, numbers.split(","))), int(target)
    return prompt.rstrip(":")


def test_a_recorded_set_is_read_inspected_and_weighted(minari_root: Path) -> None:
    record_tokens(DATASET, minari_root, episodes=240)
    data = load(DATASET)
    assert data.trajectories.num_episodes == 240
    assert data.trajectories.num_actions == len(CHARACTERS)
    assert '"split": "held_out"' in data.env_spec
    assert data.reference is not None
    assert data.reference.score(data.trajectories.returns.mean().numpy()) == pytest.approx(100 * data.trajectories.returns.mean().item())
    densities = log_densities(DATASET)
    assert len(densities) == data.trajectories.num_steps
    assert float(densities.max()) <= 0
    recorded_by = behaviours(DATASET)
    assert recorded_by is not None
    assert recorded_by.policies.tolist() == [episode % 24 for episode in range(240)]
    facts = facts_of(data, recorded_by)
    rows = dict(facts.sections["solved"])
    assert set(rows) == {"all", "partial", *(f"solver {k}" for k in range(24)), "3 numbers", "4 numbers"}
    assert rows["all"] == f"{int(data.trajectories.returns.sum())} of 240 ({data.trajectories.returns.mean():.1%})"


def test_episodes_are_the_same_every_time() -> None:
    chosen = TokenSet("test/set-v0", "maze", QUALITIES["weak"], 100)
    one, other = (list(episodes(chosen)) for _ in range(2))
    for a, b in zip(one, other, strict=True):
        np.testing.assert_array_equal(a.actions, b.actions)
        np.testing.assert_array_equal(a.log_prob, b.log_prob)
