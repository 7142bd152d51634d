"""Countdown: reach a target from given numbers, each used at most once, by sums, differences and products. "3,4,5:17=" has the answers
"3*4=12;5+12=17", "4*3=12;12+5=17" and others."""

from __future__ import annotations

import re
from collections.abc import Iterator

import numpy as np

from envs.evaluation.tokens.task import Task, Verdict

Instance = tuple[tuple[int, ...], int]  # the numbers and the target

STEP = re.compile(r"(0|[1-9]\d?)([+*-])(0|[1-9]\d?)=(0|[1-9]\d?)")
LARGEST = 99  # result of a step
OFFERED = 24  # right answers that `solutions` returns at most


class Countdown(Task):
    """`size` numbers from 1 to 9. A step is right if its numbers are there, unused, and its result is right and at most 99."""

    name = "countdown"
    sizes = (3, 4)
    size_is = "numbers"

    def draw(self, rng: np.random.Generator, size: int) -> Instance:
        while True:
            numbers = tuple(rng.integers(1, 10, size).tolist())
            left, used = list(numbers), int(rng.integers(2, size + 1))
            for _ in range(used - 1):
                choices = [(a, b, result) for a, b, _, result in _steps(tuple(left))]
                a, b, result = choices[int(rng.integers(len(choices)))]
                left = _without(left, a, b, result)
            if left[-1] not in numbers and left[-1] > 0:
                return numbers, left[-1]

    def key(self, instance: Instance) -> str:
        return f"{sorted(instance[0])}, {instance[1]}"

    def prompt(self, instance: Instance) -> str:
        return f"{','.join(map(str, instance[0]))}:{instance[1]}="

    def judge(self, instance: Instance, answer: str) -> Verdict:
        left, parts = list(instance[0]), answer.split(";")
        for count, part in enumerate(parts):
            step = STEP.fullmatch(part)
            if step is None or not _is_right(left, int(step[1]), step[2], int(step[3]), int(step[4])):
                return Verdict(False, count, len(parts))
            left = _without(left, int(step[1]), int(step[3]), int(step[4]))
        return Verdict(left[-1] == instance[1], len(parts), len(parts))

    def solutions(self, instance: Instance) -> list[str]:
        numbers, target = instance
        for depth in range(1, len(numbers)):  # the shortest first
            if found := self._fitting(instance, _first(_answers(numbers, target, depth), OFFERED)):
                return found
        raise AssertionError(f"{instance} has no answer")


def _steps(left: tuple[int, ...]) -> Iterator[tuple[int, int, str, int]]:
    """Every right step (a, b, operation, result) from the numbers `left`, each once."""
    pairs = sorted({(left[i], left[j]) for i in range(len(left)) for j in range(len(left)) if i != j})
    for a, b in pairs:
        for operation, result in (("+", a + b), ("-", a - b), ("*", a * b)):
            if 0 <= result <= LARGEST:
                yield a, b, operation, result


def _without(left: list[int], a: int, b: int, result: int) -> list[int]:
    """The numbers after a step: a and b are used, the result is last."""
    found = left.copy()
    found.remove(a)
    found.remove(b)
    return [*found, result]


def _is_right(left: list[int], a: int, operation: str, b: int, result: int) -> bool:
    there = a in left and b in left and (a != b or left.count(a) > 1)
    return there and result == {"+": a + b, "-": a - b, "*": a * b}[operation]


def _answers(left: tuple[int, ...], target: int, depth: int) -> Iterator[str]:
    """Answers of exactly `depth` steps that use each step's result in the next step, or later."""
    for a, b, operation, result in _steps(left):
        step = f"{a}{operation}{b}={result}"
        if depth == 1:
            if result == target:
                yield step
        else:
            yield from (f"{step};{rest}" for rest in _answers(tuple(_without(list(left), a, b, result)), target, depth - 1))


def _first(answers: Iterator[str], count: int) -> list[str]:
    return [answer for answer, _ in zip(answers, range(count), strict=False)]
