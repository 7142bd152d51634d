"""The reference scores in a data set's metadata."""

from __future__ import annotations

import json
import math
from typing import Any, NamedTuple

from envs.data.references import D4RL, Reference, apart, current
from envs.readers.d4rl_environments import has_d4rl_rewards

KEYS = ("ref_min_score", "ref_max_score")


class Stated(NamedTuple):
    """The reference scores that metadata.json states.

    reference: the one to use, or None. fault: why the stated numbers cannot be used, so that raw returns are shown; else empty. note: a
    remark for tables, or empty.
    """

    reference: Reference | None
    fault: str = ""
    note: str = ""


def stated(metadata: dict[str, Any]) -> Stated:
    """The reference scores of a data set's metadata. A built-in reference is that of this version, whichever the files have."""
    given = [metadata.get(key) for key in KEYS]
    if given == [None, None]:
        return Stated(None)
    for key, value in zip(KEYS, given, strict=True):
        if isinstance(value, bool) or not isinstance(value, int | float) or not math.isfinite(value):
            return Stated(None, _fault(f"{key} is {value!r}, not a finite number"))
    low, high = (float(metadata[key]) for key in KEYS)
    if not apart(low, high):
        return Stated(None, _fault(f"ref_min_score = {low:.6g} is not below ref_max_score = {high:.6g}"))
    reference, env_id = Reference(str(metadata.get("reference", "minari")), low, high), _env_id(metadata)
    if reference.name == D4RL and env_id and not has_d4rl_rewards(env_id):
        return Stated(None, note=f"D4RL's reference scores are not those of {env_id}, and are not used")
    return Stated(current(reference, env_id))


def _fault(what: str) -> str:
    return f"its reference scores are not used ({what} in metadata.json): raw returns are shown"


def _env_id(metadata: dict[str, Any]) -> str:
    """The id of the environment of evaluation, empty without one."""
    spec = metadata.get("eval_env_spec") or metadata.get("env_spec")
    return "" if spec is None else str(json.loads(spec)["id"])
