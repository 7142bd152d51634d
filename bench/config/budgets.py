"""Resolvers of a suite whose methods have their own budgets: ${updates_of:{METHOD:NUMBER,...,other:NUMBER}}, ${evenly:EVALUATIONS}."""

from __future__ import annotations

from collections.abc import Mapping

from omegaconf import DictConfig

from bench.errors import RunError


def updates_of(numbers: Mapping[str, int], *, _root_: DictConfig) -> int:
    """The number of updates of the run's method, else that of `other`. Raises RunError if `numbers` has neither."""
    name = _root_.algo.name
    if (found := numbers.get(name, numbers.get("other"))) is None:
        raise RunError(f"suite = {_root_.suite}: it has no number of updates for algo={name}; give one with algo.updates=NUMBER")
    return found


def evenly(evaluations: int, *, _root_: DictConfig) -> int:
    """The updates between evaluations with which a run has about `evaluations` of them, the last one included."""
    return max(1, -(-_root_.algo.updates // evaluations))
