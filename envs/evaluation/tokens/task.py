"""The contract of a token task: instances, their prompts, the verifier, and right answers.

Instances for training and held-out ones are disjoint by construction: a hash of the instance decides, and instances that differ only in an
order that does not matter have the same hash. Instances of the size `larger` are in neither.
"""

from __future__ import annotations

import hashlib
from abc import ABC, abstractmethod
from collections.abc import Sequence
from typing import Any, ClassVar, NamedTuple

import numpy as np

from envs.evaluation.tokens.vocabulary import CONTEXT, END, decode

SPLITS = ("train", "held_out", "larger")
HELD_OUT = 8  # one instance in so many is held out


class Verdict(NamedTuple):
    """The verifier's answer: `right` of `parts` parts (statements, lists, moves) are right; solved, if all are and the last is the goal."""

    solved: bool
    right: int
    parts: int

    @property
    def partial(self) -> float:
        """The share of parts that are right."""
        return self.right / self.parts


class Task(ABC):
    """A kind of problem. `sizes` are those of training and held-out instances, `larger` is one more."""

    name: ClassVar[str]
    sizes: ClassVar[tuple[int, ...]]
    size_is: ClassVar[str]  # in words

    @property
    def larger(self) -> int:
        return self.sizes[-1] + 1

    @abstractmethod
    def draw(self, rng: np.random.Generator, size: int) -> Any:
        """A random instance."""

    @abstractmethod
    def key(self, instance: Any) -> str:
        """The text that decides whether an instance is held out; equal for instances that are the same problem."""

    @abstractmethod
    def prompt(self, instance: Any) -> str:
        """The text that a policy reads."""

    @abstractmethod
    def judge(self, instance: Any, answer: str) -> Verdict:
        """The verdict on an answer, without END."""

    @abstractmethod
    def solutions(self, instance: Any) -> list[str]:
        """Right answers that fit the context, all different; not necessarily all there are, and the shortest is among them."""

    def held_out(self, instance: Any) -> bool:
        """True if the instance is one of the held-out ones."""
        return hashlib.sha256(f"{self.name} {self.key(instance)}".encode()).digest()[0] % HELD_OUT == 0

    def sample(self, rng: np.random.Generator, split: str, size: int | None = None) -> Any:
        """A random instance of `split`; of `size`, or of a random size of the split."""
        sizes = self.sizes_of(split)
        size = int(rng.choice(sizes)) if size is None else size
        while True:
            instance = self.draw(rng, size)
            if split == "larger" or self.held_out(instance) == (split == "held_out"):
                return instance

    def sizes_of(self, split: str) -> tuple[int, ...]:
        """The sizes of the instances of `split`."""
        return (self.larger,) if split == "larger" else self.sizes

    def room(self, instance: Any) -> int:
        """Characters of the longest answer that fits the context with its END."""
        return CONTEXT - len(self.prompt(instance)) - 1

    def verdict(self, instance: Any, tokens: Sequence[int]) -> Verdict:
        """The verdict on an answer's tokens, without a final END; PAD is kept where a policy chose it, and makes the answer wrong."""
        return self.judge(instance, decode(tokens[:-1] if tokens and tokens[-1] == END else tokens))

    def _fitting(self, instance: Any, answers: list[str]) -> list[str]:
        return [answer for answer in dict.fromkeys(answers) if len(answer) <= self.room(instance)]
