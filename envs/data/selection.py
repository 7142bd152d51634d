"""The `dataset=` expression: data sets, and rules that select their episodes.

    dataset  = part ["+" part ...]            several data sets, one after another
    part     = id ["@" rule ...]              rules apply from left to right
    id       = namespace/name/variant-v0      a Minari id, hf://owner/namespace/name-v0, or d4rl/hopper-medium-replay-v2
    rule     = episodes:3 | episodes:0-99 | episodes:1|4|7     by number, among the episodes that earlier rules keep
               first:10 | first:10%           the first, a number or a share
               sample:10%                     a share (or number) spread evenly
               top:5%                         the best by return, as a curation of percentile 95: where equal returns straddle the
                                              cut, the strictly better ones; if none is better, all of the equal ones
               top:10                         the ten best by return; equal returns keep their order
               min_return:X | max_return:X | min_length:X | max_length:X

For example: D4RL/kitchen/complete-v2@top:5%+D4RL/kitchen/mixed-v2@top:5%
"""

from __future__ import annotations

import math
import re
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from envs.errors import DataError

ID = re.compile(r"(hf://\w[\w.-]*/)?[\w-]+(/[\w-]+)*-v\d+")


@dataclass(frozen=True)
class Rule:
    """One rule: `name`:`value`."""

    name: str
    value: str

    def __str__(self) -> str:
        return f"{self.name}:{self.value}"

    def keep(self, returns: np.ndarray, lengths: np.ndarray, rounding: np.ndarray) -> np.ndarray:
        """Indices of the episodes to keep, rising; returns [E], lengths [E], rounding [E] of the returns."""
        if self.name == "min_return":
            return np.flatnonzero(returns + rounding >= self.number())
        if self.name == "max_return":
            return np.flatnonzero(returns - rounding <= self.number())
        return RULES[self.name](self, returns, lengths)

    def number(self) -> float:
        """The value as a number. Raises DataError."""
        try:
            value = float(self.value)
        except ValueError:
            value = float("nan")
        if np.isnan(value):
            raise DataError(f"@{self}: '{self.value}' is not a number")
        return value

    def count(self, total: int) -> int:
        """Number of episodes: the value, or its share of `total`, at least one. Raises DataError."""
        share = self.share()
        if share == 0:
            raise DataError(f"@{self}: expected a share above 0 %")
        count = int(self.value) if share is None else max(1, round(total * share / 100))
        if not 0 < count <= total:
            raise DataError(f"@{self}: asks for {count} of {total} episodes")
        return count

    def share(self) -> float | None:
        """The value in percent, 0 to 100; None if it is a number of episodes. Raises DataError."""
        match = re.fullmatch(r"(\d+(?:\.\d+)?)%|(\d+)", self.value)
        if match is None:
            raise DataError(f"@{self}: expected a number of episodes or a share, such as {self.name}:10 or {self.name}:5%")
        if match[1] is None:
            return None
        if float(match[1]) > 100:
            raise DataError(f"@{self}: expected a share of at most 100 %")
        return float(match[1])

    def numbers(self, total: int) -> np.ndarray:
        """Episode numbers below `total`, rising. Raises DataError."""
        found: list[int] = []
        for piece in self.value.split("|"):
            match = re.fullmatch(r"(\d+)(?:-(\d+))?", piece)
            if match is None:
                raise DataError(f"@{self}: expected episode numbers, such as episodes:3, episodes:0-99 or episodes:1|4|7")
            found += range(int(match[1]), int(match[2] or match[1]) + 1)
        if not found or max(found) >= total:
            raise DataError(f"@{self}: there are episodes 0 to {total - 1}")
        return np.unique(found)


def best(returns: np.ndarray, percentile: float) -> np.ndarray:
    """Numbers, rising, of the episodes whose `returns` [E] reach `percentile`, by the rule of algos.batches.curation.best."""
    first, ordered = math.ceil((len(returns) - 1) * percentile / 100 - 1e-9), np.sort(returns)
    better = np.flatnonzero(returns > ordered[first])
    straddled = first > 0 and ordered[first - 1] == ordered[first]
    return better if straddled and len(better) else np.flatnonzero(returns >= ordered[first])


def _top(rule: Rule, returns: np.ndarray) -> np.ndarray:
    share = rule.share()
    if share is not None:
        return best(returns, 100 - share)
    return np.sort(np.argsort(-returns, kind="stable")[: rule.count(len(returns))])


RULES: dict[str, Callable[[Rule, np.ndarray, np.ndarray], np.ndarray]] = {
    "episodes": lambda rule, returns, _: rule.numbers(len(returns)),
    "first": lambda rule, returns, _: np.arange(rule.count(len(returns))),
    "sample": lambda rule, returns, _: np.arange(rule.count(len(returns))) * len(returns) // rule.count(len(returns)),
    "top": lambda rule, returns, _: _top(rule, returns),
    "min_length": lambda rule, _, lengths: np.flatnonzero(lengths >= rule.number()),
    "max_length": lambda rule, _, lengths: np.flatnonzero(lengths <= rule.number()),
}
NAMES = (*RULES, "min_return", "max_return")


@dataclass(frozen=True)
class Part:
    """One data set of an expression: its id without the remote, the remote (hf://owner) or None, and its rules."""

    dataset: str
    remote: str | None
    rules: tuple[Rule, ...]

    def select(self, returns: np.ndarray, lengths: np.ndarray, rounding: np.ndarray | None = None) -> np.ndarray:
        """Numbers of the episodes that the rules keep, rising; returns [E], lengths [E]. Raises DataError if none is left.

        rounding: [E], how far each return may be from its true value because rewards are single precision; an episode within it of a
        bound is kept: a return of 0.7 reaches 0.7.
        """
        rounding = np.zeros(len(returns)) if rounding is None else rounding
        kept = np.arange(len(returns))
        for rule in self.rules:
            kept = kept[rule.keep(returns[kept], lengths[kept], rounding[kept])]
            if not len(kept):
                raise DataError(
                    f"{self.dataset}@{rule}: no episode is left; returns are {returns.min():.6g} to {returns.max():.6g}, "
                    f"lengths {lengths.min()} to {lengths.max()}"
                )
        return kept


def parse(expression: str) -> list[Part]:
    """The parts of a `dataset=` expression. Raises DataError."""
    return [_part(text, expression) for text in re.split(r"\+(?=[A-Za-z])", expression)]


def _part(text: str, expression: str) -> Part:
    dataset, *rules = text.split("@")
    if not ID.fullmatch(dataset):
        whole = "://" in expression  # may hold a password, which is recognised in a whole URL alone
        shown = f"'{expression}'" if whole else f"'{dataset}'" + ("" if text == expression else f" (in '{expression}')")
        example = "expected namespace/name/variant-v0, such as iwsft/hopper/medium-v0"
        raise DataError(f"dataset {shown} is not a Minari id; {example}")
    remote = None
    if "://" in dataset:
        scheme, rest = dataset.split("://")
        owner, dataset = rest.split("/", 1)
        remote = f"{scheme}://{owner}"
    return Part(dataset, remote, tuple(_rule(rule, text) for rule in rules))


def _rule(text: str, part: str) -> Rule:
    name, colon, value = text.partition(":")
    if name not in NAMES or not colon:
        raise DataError(f"dataset '{part}': unknown rule '{text}'; expected one of {', '.join(f'{name}:' for name in NAMES)}")
    return Rule(name, value)
