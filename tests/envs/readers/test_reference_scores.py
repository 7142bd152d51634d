"""Reference scores in metadata.json: used, replaced by those of this version, or left out with the reason."""

from __future__ import annotations

import math
from typing import Any

import pytest

from envs.data.references import Reference, built_in
from envs.readers.reference_scores import stated


def metadata(env_id: str | None = "Pendulum-v1", **more: Any) -> dict[str, Any]:
    return {"env_spec": None if env_id is None else f'{{"id": "{env_id}"}}'} | more


def scores(low: Any, high: Any, **more: Any) -> dict[str, Any]:
    return metadata(ref_min_score=low, ref_max_score=high, **more)


def test_usable_scores_are_used_and_none_are_none() -> None:
    assert stated(scores(-10, 30.0)) == (Reference("minari", -10.0, 30.0), "", "")
    assert stated(scores(None, None)) == stated(metadata()) == (None, "", "")
    assert stated(metadata(None, ref_min_score=0, ref_max_score=1, reference="mine")).reference == Reference("mine", 0.0, 1.0)


@pytest.mark.parametrize(
    ("low", "high", "said"),
    [
        (1.0, 1.0, "ref_min_score = 1 is not below ref_max_score = 1"),
        (30.0, -10.0, "ref_min_score = 30 is not below ref_max_score = -10"),
        (math.nan, 1.0, "ref_min_score is nan, not a finite number"),
        (0.0, math.inf, "ref_max_score is inf, not a finite number"),
        (0.0, "100", "ref_max_score is '100', not a finite number"),
        (0.0, True, "ref_max_score is True, not a finite number"),
        (0.0, None, "ref_max_score is None, not a finite number"),
        ([0.0], 1.0, "ref_min_score is [0.0], not a finite number"),
    ],
)
def test_unusable_scores_are_left_out_with_the_reason(low: Any, high: Any, said: str) -> None:
    reference, fault, note = stated(scores(low, high))
    assert (reference, note) == (None, "")
    assert said in fault
    assert "raw returns are shown" in fault


@pytest.mark.parametrize(("env_id", "kept"), [("Hopper-v2", True), ("Hopper-v4", True), ("Hopper-v5", False), ("Pendulum-v1", False)])
def test_d4rls_scores_are_those_of_its_own_environments(env_id: str, kept: bool) -> None:
    reference, fault, note = stated(scores(-20.272305, 3234.3, env_id=env_id, reference="d4rl"))
    assert (reference is not None, fault) == (kept, "")
    assert note == ("" if kept else f"D4RL's reference scores are not those of {env_id}, and are not used")


def test_the_environment_of_evaluation_decides() -> None:
    found = scores(-20.272305, 3234.3, env_id="Hopper-v4", reference="d4rl", eval_env_spec='{"id": "Hopper-v5"}')
    assert stated(found).reference is None


@pytest.mark.parametrize("edition", ["iwsft", "iwsft-2"])
def test_built_in_scores_are_those_of_this_version(edition: str) -> None:
    assert stated(scores(15.8, 2429.6, env_id="Hopper-v5", reference=edition)).reference == built_in("Hopper-v5")
    assert stated(scores(1.0, 2.0, reference=edition)).reference == Reference(edition, 1.0, 2.0)  # of an environment without any
