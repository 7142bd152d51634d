"""The jobs of Hydra's basic sweeper, each a list of overrides."""

from __future__ import annotations

from collections.abc import Sequence

from hydra._internal.core_plugins.basic_sweeper import BasicSweeper
from hydra.core.override_parser.types import Override


def split(overrides: Sequence[Override]) -> list[list[str]]:
    """The overrides of every job of a sweep; of two overrides of one key the last counts."""
    return [job for batch in BasicSweeper.split_arguments(list(overrides), None) for job in batch]
