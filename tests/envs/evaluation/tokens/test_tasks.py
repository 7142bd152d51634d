"""Token tasks: what the verifier accepts and refuses, right answers, and the splits."""

from __future__ import annotations

import numpy as np
import pytest

from envs.evaluation.tokens.addition import Addition
from envs.evaluation.tokens.countdown import Countdown
from envs.evaluation.tokens.environment import TASKS
from envs.evaluation.tokens.maze import Maze
from envs.evaluation.tokens.sorting import Sorting
from envs.evaluation.tokens.task import HELD_OUT, SPLITS, Task
from envs.evaluation.tokens.vocabulary import CHARACTERS, CONTEXT, encode

EVERY = [pytest.param(task, id=name) for name, task in TASKS.items()]


def rng(seed: int = 0) -> np.random.Generator:
    return np.random.Generator(np.random.PCG64(seed))


def test_the_vocabulary_and_the_context_are_small() -> None:
    assert len(set(CHARACTERS)) == len(CHARACTERS) < 64
    assert CONTEXT <= 64


@pytest.mark.parametrize(
    ("task", "instance", "answer", "right", "parts"),
    [
        (Addition(), (27, 15), "42", 1, 1),
        (Addition(), (27, 15), "7+5+0=12;42", 2, 2),
        (Addition(), (27, 15), "7+5+0=12;2+1+1=4;42", 3, 3),
        (Addition(), (27, 15), "2+1+1=4;42", 1, 2),  # the first column is the right one
        (Addition(), (27, 15), "7+5+0=12;32", 1, 2),
        (Addition(), (27, 15), "042", 0, 1),
        (Addition(), (95, 15), "5+5+0=10;9+1+1=11;1+0+0=1;110", 3, 4),  # there is no third column
        (Addition(), (27, 15), "", 0, 1),
        (Sorting(), "312", "123", 1, 1),
        (Sorting(), "312", "132;123", 2, 2),
        (Sorting(), "312", "321;123", 1, 2),  # an exchange that leaves more in the wrong order
        (Sorting(), "312", "132;132;123", 2, 3),
        (Sorting(), "312", "13;123", 1, 2),
        (Sorting(), "312", "132", 0, 1),
        (Sorting(), "312", "122", 0, 1),
        (Countdown(), ((3, 4, 5), 17), "3*4=12;5+12=17", 2, 2),
        (Countdown(), ((3, 4, 5), 17), "4*3=12;12+5=17", 2, 2),
        (Countdown(), ((3, 4, 5), 17), "3*4=12;12+6=18", 1, 2),  # no 6 was given
        (Countdown(), ((3, 4, 5), 17), "3*4=12;3+12=15", 1, 2),  # 3 is used up
        (Countdown(), ((3, 3, 5), 6), "3+3=6", 1, 1),
        (Countdown(), ((3, 4, 5), 6), "3+3=6", 0, 1),
        (Countdown(), ((3, 4, 5), 17), "3*4=13;5+12=17", 0, 2),
        (Countdown(), ((3, 4, 5), 17), "3-4=-1", 0, 1),
        (Countdown(), ((3, 4, 5), 17), "3+04=7", 0, 1),
        (Maze(), "S..#.#..G", "RDDR", 4, 4),
        (Maze(), "S..#.#..G", "RLRDDR", 6, 6),
        (Maze(), "S..#.#..G", "D", 0, 1),  # into a wall
        (Maze(), "S..#.#..G", "RRRDDR", 2, 6),  # outside
        (Maze(), "S..#.#..G", "R4", 1, 2),
        (Maze(), "S..#.#..G", "", 0, 1),
    ],
)  # fmt: skip
def test_the_verifier_counts_right_parts(task: Task, instance: object, answer: str, right: int, parts: int) -> None:
    verdict = task.judge(instance, answer)
    assert (verdict.right, verdict.parts) == (right, parts)
    assert verdict.solved == (right == parts)


@pytest.mark.parametrize(
    ("task", "instance", "answer"),
    [
        (Countdown(), ((3, 4, 5), 17), "3*4=12"),
        (Maze(), "S..#.#..G", "RDD"),
        (Maze(), "S..#.#..G", "RDDRL"),
    ],
)
def test_right_parts_that_do_not_end_at_the_goal_solve_nothing(task: Task, instance: object, answer: str) -> None:
    verdict = task.judge(instance, answer)
    assert verdict.partial == 1
    assert not verdict.solved


@pytest.mark.parametrize("task", EVERY)
def test_all_offered_answers_are_right_fit_and_are_several(task: Task) -> None:
    counts = []
    for split in SPLITS:
        for seed in range(40):
            instance = task.sample(rng(seed), split)
            answers = task.solutions(instance)
            encode(task.prompt(instance) + "".join(answers))
            assert answers
            assert len(set(answers)) == len(answers)
            assert all(task.judge(instance, answer).solved for answer in answers)
            assert all(len(task.prompt(instance)) + len(answer) + 1 <= CONTEXT for answer in answers)
            counts.append(len(answers))
    assert np.mean(counts) > 2
    assert np.mean(np.array(counts) > 1) > 0.5


@pytest.mark.parametrize("task", EVERY)
def test_splits_are_disjoint_and_sizes_are_the_splits(task: Task) -> None:
    keys: dict[str, set[str]] = {}
    for split in SPLITS:
        instances = [task.sample(rng(seed), split) for seed in range(300)]
        keys[split] = {task.key(instance) for instance in instances}
        if split != "larger":
            assert {task.held_out(instance) for instance in instances} == {split == "held_out"}
    assert not keys["train"] & keys["held_out"]
    assert not (keys["train"] | keys["held_out"]) & keys["larger"]
    drawn = [task.draw(rng(seed), task.sizes[-1]) for seed in range(1000)]
    assert np.mean([task.held_out(instance) for instance in drawn]) == pytest.approx(1 / HELD_OUT, abs=0.05)


def test_the_same_problem_in_another_order_is_in_the_same_split() -> None:
    assert Addition().key((12, 34)) == Addition().key((34, 12))
    assert Sorting().key("312") == Sorting().key("231")
    assert Countdown().key(((3, 4, 5), 17)) == Countdown().key(((5, 3, 4), 17))


@pytest.mark.parametrize("task", EVERY)
def test_instances_depend_on_the_stream_alone(task: Task) -> None:
    assert task.sample(rng(7), "train") == task.sample(rng(7), "train")
    assert len({task.prompt(task.sample(rng(seed), "train", task.sizes[-1])) for seed in range(50)}) > 40
