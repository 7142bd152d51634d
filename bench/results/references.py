"""The footnote on reference returns that were measured: their standard errors in points of score."""

from __future__ import annotations

import json
from collections.abc import Sequence

from bench.results.episodes import reference_of
from bench.storage.layout import Row
from envs.data.references import Reference


def reference_notes(records: Sequence[Row]) -> list[str]:
    """One line with the standard errors of all references of `records`; no line where none is known."""
    names: dict[Reference, set[str]] = {}
    for record in records:
        reference = reference_of(record)
        if reference is not None and (reference.random_error or reference.expert_error):
            names.setdefault(reference, set()).add(_environment(record))
    found = sorted(((", ".join(sorted(named)), reference) for reference, named in names.items()), key=str)
    if not found:
        return []
    errors = "; ".join(f"{named} {_points(reference, 0)} and {_points(reference, 100)}" for named, reference in found)
    intro = "Reference returns are means, too. Their standard errors, which the intervals leave out, in points at score 0 and at score 100:"
    return [f"{intro} {errors}."]


def _environment(record: Row) -> str:
    """The id of the run's environment; its data set where the run has none."""
    spec = record.get("environment", {}).get("spec")
    return str(json.loads(spec)["id"]) if spec else str(record["dataset"])


def _points(reference: Reference, score: float) -> str:
    error = reference.score_error(score)
    return "unknown" if error is None else f"{error:.2g}"
