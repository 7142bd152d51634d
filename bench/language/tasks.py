"""Tasks of reasoning-gym: instances in disjoint splits, prompts, worked solutions, and the tasks' own verifiers."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import cached_property
from itertools import islice
from typing import Any

from bench.config.extras import require_extra
from bench.config.keys import near_names
from bench.errors import RunError, first_line

TASKS: dict[str, dict[str, int]] = {
    "letter_counting": {"min_words": 3, "max_words": 5},
    "chain_sum": {"min_terms": 2, "max_terms": 3, "min_digits": 1, "max_digits": 1},
    "basic_arithmetic": {"min_terms": 2, "max_terms": 2, "min_digits": 1, "max_digits": 1},
    "products": {"min_digits": 1, "max_digits": 2},
    "gcd": {"max_value": 30},
    "lcm": {"max_value": 30},
    "count_bits": {"max_n": 1023},
    "word_sorting": {"max_words": 3, "max_word_length": 6},
}
"""Tasks whose answers are short, with sizes that a small model can solve; any other task of reasoning-gym has its own default size."""

SPLITS = {"held_out": range(3), "validation": range(3, 4), "train": range(4, 10)}
"""Tenths of all instances, by a hash of the question: no instance is in two splits."""

NUMBER = re.compile(r"-?\d[\d,]*(?:\.\d+)?")
SPACING = 1_000_000  # instance i of a task with seed s is instance 0 with seed s + i: seeds are this far from each other
SEARCHED = 100  # draws for each instance that is wanted


@dataclass(frozen=True)
class Instance:
    """A question, and what the verifier needs."""

    question: str
    entry: Mapping[str, Any]


class Task:
    """Task `name` of reasoning-gym with `settings` in place of its own. Raises RunError for a name or a setting that it does not have."""

    def __init__(self, name: str, settings: Mapping[str, int] | None = None) -> None:
        require_extra(f"task {name}", "language", "reasoning_gym")
        from reasoning_gym.factory import DATASETS

        if name not in DATASETS:
            near = near_names(name, TASKS, DATASETS) or f"; such as {', '.join(TASKS)}"
            raise RunError(f"task {name}: reasoning-gym has no such task{near}")
        self.name = name
        self.settings = TASKS.get(name, {}) | dict(settings or {})
        known = [key for key in DATASETS[name][1].__dataclass_fields__ if key not in ("seed", "size")]
        if unknown := next((key for key in self.settings if key not in known), None):
            raise RunError(f"task {name}: no setting {unknown}{near_names(unknown, known) or '; it has ' + ', '.join(known)}")
        self._dataset(0)

    @cached_property
    def _verifier(self) -> Any:
        return self._dataset(0)

    def _dataset(self, seed: int) -> Any:
        from reasoning_gym import create_dataset

        try:
            return create_dataset(self.name, seed=seed * SPACING, size=SPACING, **self.settings)
        except (AssertionError, TypeError, ValueError) as error:
            raise RunError(f"task {self.name}: {first_line(error) or 'its settings do not fit together'}") from None

    def instances(self, split: str, count: int, seed: int = 0) -> list[Instance]:
        """The first `count` different instances of `split` in the stream of `seed`. Raises RunError if the task has fewer."""
        found = list(islice(self._distinct(split, count, seed), count))
        if len(found) < count:
            raise RunError(f"task {self.name}: only {len(found)} different instances of split {split}, {count} expected; ask for fewer")
        return found

    def _distinct(self, split: str, count: int, seed: int) -> Iterator[Instance]:
        dataset, seen = self._dataset(seed), set()
        for index in range(min(SPACING, SEARCHED * count)):
            entry = dataset[index]
            question = entry["question"].strip()
            if question not in seen and hashlib.sha256(question.encode()).digest()[0] % 10 in SPLITS[split]:
                seen.add(question)
                yield Instance(question, entry)

    def solved(self, instance: Instance, text: str) -> bool:
        """True if the task's own verifier gives the answer in `text` its full score."""
        return bool(self._verifier.score_answer(answer_in(text, instance.entry["answer"]), instance.entry) >= 1.0)


def answer_in(text: str, right: str) -> str:
    """The answer that a completion states: its last number if the right one is a number, else its last line, without a full stop."""
    if NUMBER.fullmatch(right):
        found = NUMBER.findall(text)
        return found[-1].replace(",", "") if found else ""
    lines = [line.strip() for line in text.splitlines() if line.strip()]
    return lines[-1].removesuffix(".") if lines else ""


def worked(instance: Instance, detailed: bool) -> str:
    """A worked solution: the answer alone, or, `detailed`, after its steps; tasks without known steps have the answer alone."""
    right, facts = str(instance.entry["answer"]), instance.entry["metadata"]
    if not detailed:
        return right
    if "target_letter" in facts:
        letter = facts["target_letter"]
        return ", ".join(f"{word}: {word.lower().count(letter)}" for word in facts["span"]) + f". Total: {right}"
    if "expression" in facts:
        return f"{facts['expression']} = {right}"
    return right
