"""Sorting of digits: at once, or after lists that each exchange two digits of the list before it. "3,1,2:" is written "312:"; its answers
are "123", "132;123" and others."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from envs.evaluation.tokens.task import Task, Verdict


class Sorting(Task):
    """`size` digits, not in order. An exchange is right if it leaves fewer pairs in the wrong order."""

    name = "sorting"
    sizes = (3, 4, 5)
    size_is = "digits"

    def draw(self, rng: np.random.Generator, size: int) -> str:
        while True:
            found = "".join(map(str, rng.integers(0, 10, size)))
            if _inversions(found):
                return found

    def key(self, instance: str) -> str:
        return _sorted(instance)  # lists of the same digits have the same answer: none of them is in both splits

    def prompt(self, instance: str) -> str:
        return f"{instance}:"

    def judge(self, instance: str, answer: str) -> Verdict:
        *steps, last = answer.split(";")
        before, right = instance, []
        for step in steps:
            right.append(_is_exchange(before, step) and _inversions(step) < _inversions(before))
            before = step
        right.append(last == _sorted(instance))
        return Verdict(all(right), sum(right), len(right))

    def solutions(self, instance: str) -> list[str]:
        found = [_sorted(instance)]
        for chain in (list(_selection(instance)), list(_bubble(instance))):
            found += [";".join([*chain[:count], _sorted(instance)]) for count in range(1, len(chain))]
        return self._fitting(instance, found)


def _sorted(digits: str) -> str:
    return "".join(sorted(digits))


def _inversions(digits: str) -> int:
    return sum(a > b for i, a in enumerate(digits) for b in digits[i + 1 :])


def _is_exchange(before: str, after: str) -> bool:
    if len(before) != len(after) or _sorted(before) != _sorted(after):
        return False
    return sum(a != b for a, b in zip(before, after, strict=True)) == 2


def _exchanged(digits: str, i: int, j: int) -> str:
    found = list(digits)
    found[i], found[j] = found[j], found[i]
    return "".join(found)


def _selection(digits: str) -> Iterator[str]:
    """The lists of selection sort after each exchange: the first place that is wrong gets its digit."""
    goal = _sorted(digits)
    for i in range(len(digits)):
        if digits[i] != goal[i]:
            digits = _exchanged(digits, i, digits.rindex(goal[i]))
            yield digits


def _bubble(digits: str) -> Iterator[str]:
    """The lists of bubble sort after each exchange of neighbours."""
    while _inversions(digits):
        for i in range(len(digits) - 1):
            if digits[i] > digits[i + 1]:
                digits = _exchanged(digits, i, i + 1)
                yield digits
