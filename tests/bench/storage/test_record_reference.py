"""References in run.json: with or without standard errors, and never one that scores cannot be made of."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path
from typing import Any

import pytest

from bench.errors import RunError
from bench.storage.record import _check_reference
from envs.data.references import Reference, built_in

D4RL = {"name": "d4rl", "random": -20.3, "expert": 3234.3}


@pytest.mark.parametrize("reference", [D4RL, asdict(Reference(**D4RL)), asdict(built_in("Hopper-v5"))])  # type: ignore[arg-type, call-overload]
def test_references_with_and_without_errors_are_read(reference: dict[str, Any]) -> None:
    _check_reference(Path("run.json"), reference)


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"expert": -20.3}, "random is -20.3 and expert -20.3; expected a smaller return"),
        ({"expert": -30.0}, "random is -20.3 and expert -30; expected a smaller return"),
        ({"expert": float("nan")}, "expert = nan"),
        ({"random_error": -1.0}, "random_error = -1"),
        ({"more": 1.0}, "unknown key 'more'"),
    ],
)
def test_references_without_a_scale_are_refused(change: dict[str, float], said: str) -> None:
    with pytest.raises(RunError, match=r"^run.json: reference: ") as error:
        _check_reference(Path("run.json"), D4RL | change)
    assert said in str(error.value)
