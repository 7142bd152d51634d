"""Scripted solvers: exact probabilities of their mixture, and quality that varies."""

from __future__ import annotations

import itertools

import numpy as np
import pytest

from envs.evaluation.tokens.environment import TASKS
from envs.evaluation.tokens.vocabulary import CHARACTERS, END, encode
from envs.recorded.tokens.solvers import LEVELS, Solver, log_choice, log_probs, solver, write

ANSWERS = ["42", "7+5+0=12;42", "43"]
MIXTURE = [Solver(0.3, 2.0, 1.0), Solver(0.05, -1.0, 0.5)]


def test_the_probabilities_of_the_next_token_sum_to_one() -> None:
    """After any beginning, right or wrong, also where the answers part."""
    for begin in ([], encode("4"), encode("7+"), encode("=4;"), encode("42")):
        total = sum(np.exp(log_probs(MIXTURE, ANSWERS, np.array([*begin, token]))[-1]) for token in range(len(CHARACTERS)))
        assert total == pytest.approx(1, abs=1e-9)


@pytest.mark.parametrize("text", ["42$", "43$", "7+4", "$", "42="])
def test_a_beginning_has_the_sum_over_solvers_answers_and_errors(text: str) -> None:
    """By enumeration: for each solver and answer, every pattern of replaced tokens."""
    tokens, total = encode(text), 0.0
    for own in MIXTURE:
        for answer, log_p in zip(ANSWERS, log_choice([own], ANSWERS)[0], strict=True):
            plan = [*encode(answer), *[END] * len(tokens)][: len(tokens)]
            for pattern in itertools.product((False, True), repeat=len(tokens)):
                p = 1.0
                for replaced, planned, token in zip(pattern, plan, tokens, strict=True):
                    p *= own.error / len(CHARACTERS) if replaced else (1 - own.error) * (planned == token)
                total += np.exp(log_p) * p / len(MIXTURE)
    assert np.exp(log_probs(MIXTURE, ANSWERS, np.array(tokens)).sum()) == pytest.approx(total, rel=1e-9)


def test_written_tokens_have_their_probabilities() -> None:
    rng, own = np.random.default_rng(0), MIXTURE[:1]
    drawn = [tuple(write(own[0], ANSWERS, 20, rng)) for _ in range(6_000)]
    for text in ("42$", "7+5+0=12;42$", "$"):
        expected = np.exp(log_probs(own, ANSWERS, np.array(encode(text))).sum())
        assert drawn.count(tuple(encode(text))) / len(drawn) == pytest.approx(expected, abs=4 * np.sqrt(expected / len(drawn)))


def test_habit_and_temperature_choose_the_answer() -> None:
    long, short, even = (log_choice([Solver(0.1, habit, 0.1)], ANSWERS)[0] for habit in (2.0, -2.0, 0.0))
    assert long[1] > -1e-6
    assert short[1] < -15
    np.testing.assert_allclose(even, -np.log(3))


def test_better_solvers_solve_more() -> None:
    task, rng = TASKS["addition"], np.random.default_rng(1)
    rates = []
    for level in (0, LEVELS // 2, LEVELS - 1):
        instances = [task.sample(rng, "train") for _ in range(200)]
        written = [write(solver(level), task.solutions(i), task.room(i) + 1, rng).tolist() for i in instances]
        rates.append(np.mean([task.verdict(i, tokens).solved for i, tokens in zip(instances, written, strict=True)]))
    assert rates[0] < 0.3 < rates[1] < rates[2]
    assert rates[2] > 0.9
    assert len({solver(level)[1:] for level in range(LEVELS)}) == LEVELS
