"""The findings of `verify`: checks that agree, checks that differ, checks that could not be made, and statements that no check can show."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import NamedTuple

from bench.errors import EXIT_DIFFERENCE, EXIT_MISTAKE


class Verdict(NamedTuple):
    """The exit code (0: agrees, 1: differs, 2: cannot say) and the report, whose last line is the verdict."""

    code: int
    message: str

    @property
    def reproduces(self) -> bool:
        return self.code == 0


@dataclass
class Findings:
    """Lines "subject: what was found".

    checked: agrees. differences: a file says what was not computed here. unknown: needed for a verdict, and could not be computed here.
    unverifiable: what a run directory cannot show. value: the row's value, computed here.
    """

    checked: list[str] = field(default_factory=list)
    differences: list[str] = field(default_factory=list)
    unknown: list[str] = field(default_factory=list)
    unverifiable: list[str] = field(default_factory=list)
    value: str = ""

    def verdict(self, folder: Path) -> Verdict:
        """The report. One difference decides; else one unknown."""
        kinds = (
            ("checked", self.checked), ("differs", self.differences), ("cannot say", self.unknown), ("not checked", self.unverifiable),
        )  # fmt: skip
        lines = [f"{kind:<11} {line}" for kind, found in kinds for line in found]
        code = EXIT_DIFFERENCE if self.differences else EXIT_MISTAKE if self.unknown else 0
        word = {0: "agrees", EXIT_DIFFERENCE: "differs", EXIT_MISTAKE: "cannot say"}[code]
        last = f"{word} (exit code {code}): {folder}"
        return Verdict(code, "\n".join([*lines, f"{last}: {self.value}" if self.value else last]))
