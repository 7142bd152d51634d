"""Addition of two numbers: at once, or after the sums of the last columns with their carries. "27+15=" has the answers "42", "7+5+0=12;42"
and "7+5+0=12;2+1+1=4;42"."""

from __future__ import annotations

import numpy as np

from envs.evaluation.tokens.task import Task, Verdict

Instance = tuple[int, int]


class Addition(Task):
    """Two numbers of `size` digits. An instance and the one with its numbers exchanged are the same problem."""

    name = "addition"
    sizes = (2, 3)
    size_is = "digits"

    def draw(self, rng: np.random.Generator, size: int) -> Instance:
        a, b = rng.integers(10 ** (size - 1), 10**size, 2).tolist()
        return a, b

    def key(self, instance: Instance) -> str:
        return str(sorted(instance))

    def prompt(self, instance: Instance) -> str:
        return f"{instance[0]}+{instance[1]}="

    def judge(self, instance: Instance, answer: str) -> Verdict:
        *steps, last = answer.split(";")
        columns = _columns(*instance)
        right = [i < len(columns) and step == columns[i] for i, step in enumerate(steps)] + [last == str(sum(instance))]
        return Verdict(all(right), sum(right), len(right))

    def solutions(self, instance: Instance) -> list[str]:
        columns = _columns(*instance)
        return self._fitting(instance, [";".join([*columns[:count], str(sum(instance))]) for count in range(len(columns) + 1)])


def _columns(a: int, b: int) -> list[str]:
    """The statements of the columns from the right, digit + digit + carry = sum."""
    found, carry = [], 0
    while a or b:
        total = a % 10 + b % 10 + carry
        found.append(f"{a % 10}+{b % 10}+{carry}={total}")
        a, b, carry = a // 10, b // 10, total // 10
    return found
