"""run.json of a run of any origin, read and checked: types, ranges, and texts of one printable line."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import MISSING, fields
from pathlib import Path
from typing import Any, NamedTuple

from bench.config.estimates import CHOSEN_BY
from bench.config.limits import EPISODES, ROWS, SEEDS
from bench.errors import DataError, RunError
from bench.storage.layout import Row
from envs.data.references import Reference
from envs.untrusted import TEXT, clean_tree, parse_json, read_json

LARGEST = 1e50  # of a return: a mean of larger ones may leave the range of numbers
WHOLE = 2**53  # whole numbers up to here are exact in every reader
WIDTH = 1_000_000  # columns of an observation
DTYPES = ("float16", "float32", "float64", "bool", *(f"{sign}int{bits}" for sign in ("", "u") for bits in (8, 16, 32, 64)))
LONG = 10_000  # characters of an expression of data sets, and of a note
SPEC = 1_000_000  # characters of an environment's specification


class Check(NamedTuple):
    """A condition on a value, and what a user reads if it does not hold."""

    holds: Callable[[Any], bool]
    expected: str


def number(low: float = -LARGEST, high: float = LARGEST) -> Check:
    """A finite number from `low` to `high`."""
    return Check(lambda v: _is_number(v) and low <= v <= high, f"a number from {low:g} to {high:g}")


def whole(low: int = 0, high: int = WHOLE) -> Check:
    """A whole number from `low` to `high`."""
    return Check(lambda v: _is_whole(v) and low <= v <= high, f"a whole number from {low} to {high}")


def text(longest: int = TEXT) -> Check:
    """A text of at most `longest` characters."""
    return Check(lambda v: isinstance(v, str) and len(v) <= longest, f"a text of at most {longest} characters")


def numbers(longest: int) -> Check:
    """A list of at most `longest` finite numbers."""

    def holds(value: Any) -> bool:
        return _is_list(value, longest) and all(_is_number(x) and abs(x) <= LARGEST for x in value)

    return Check(holds, f"a list of at most {longest} finite numbers")


def optional(check: Check) -> Check:
    """`check`, or null."""
    return Check(lambda v: v is None or check.holds(v), f"{check.expected}, or null")


NAME = Check(lambda v: isinstance(v, str) and 0 < len(v) <= TEXT, f"a text of 1 to {TEXT} characters")
SEED_LIST = Check(
    lambda v: _is_list(v, SEEDS) and bool(v) and all(_is_whole(s) and 0 <= s < 2**63 for s in v) and len(set(v)) == len(v),
    f"1 to {SEEDS} different whole numbers from 0 on",
)
SEEDS_OR_NONE = Check(lambda v: _is_list(v, SEEDS) and all(_is_whole(s) for s in v), "a list of seeds")
FLAG = Check(lambda v: isinstance(v, bool), "true or false")
MAPPING = Check(lambda v: isinstance(v, dict), "a mapping")
VERSIONS = Check(
    lambda v: isinstance(v, dict) and len(v) <= 100 and all(isinstance(x, str) for x in v.values()),
    "at most 100 versions by package",
)

WEIGHT_KEYS = {"ess": number(0, 1), "clipped": number(0, 1), "saturated": whole(), "collapsed": whole()}
WEIGHTS = Check(
    lambda v: (
        isinstance(v, dict) and {"ess", "clipped"} <= set(v) <= set(WEIGHT_KEYS) and all(WEIGHT_KEYS[k].holds(x) for k, x in v.items())
    ),
    "ess and clipped from 0 to 1, and perhaps updates saturated and collapsed",
)

SECONDS = Check(
    lambda v: isinstance(v, dict) and len(v) <= 20 and all(number(0).holds(x) for x in v.values()), "at most 20 numbers of seconds by phase"
)
ACTIONS = Check(lambda v: v in ("mean", "sampled", "both"), "mean, sampled or both")

REQUIRED: dict[str, Check] = {
    "suite": NAME, "dataset": text(LONG), "algo": NAME, "seeds": SEED_LIST, "updates": whole(1), "eval_every": whole(1),
    "eval_episodes": whole(0, EPISODES), "final_episodes": whole(0, EPISODES), "last_k": whole(1), "reference": optional(MAPPING),
    "data_return_mean": optional(number()), "clipped_actions": number(0, 1), "config_hash": NAME, "dataset_digest": NAME,
    "code_revision": text(), "device": text(), "parameters": whole(), "versions": VERSIONS, "wall_time_s": number(0),
}  # fmt: skip
OPTIONAL: dict[str, Check] = {
    "environment": MAPPING, "note": optional(text(LONG)), "pi_ref_dataset": optional(text(LONG)), "precision": text(), "engine": text(),
    "stepper": optional(text(100)), "population_members": whole(1), "set_up_time_s": number(0),
    "mixed": FLAG, "published": FLAG, "mix_marked": FLAG,
    "finished_at": text(100),
    "failed_seeds": SEEDS_OR_NONE, "method_hash": optional(NAME), "settings_hash": optional(NAME), "configs_tried": whole(1),
    "chosen_by": Check(lambda v: v in CHOSEN_BY, f"one of {', '.join(CHOSEN_BY)}"),
    "default_updates": optional(whole()), "pi_ref_updates": whole(), "default_pi_ref_updates": optional(whole()),
    "defaults": optional(MAPPING),
    "manifest": FLAG, "format": whole(), "pi_ref_digest": optional(NAME), "processor": text(), "system": text(), "threads": whole(1),
    "curation": optional(MAPPING), "domain_settings": optional(MAPPING), "strata_coincide": FLAG,
    "online_steps": whole(), "online_every": whole(1), "weights": WEIGHTS, "seconds": SECONDS, "actions": ACTIONS, "stochastic": FLAG,
}  # fmt: skip
KEYS = {"status", *REQUIRED, *OPTIONAL}
ENVIRONMENT: dict[str, Check] = {
    "spec": text(SPEC), "observation_width": whole(1, WIDTH), "action_width": whole(0, WIDTH), "num_actions": whole(0, WIDTH),
    "action_low": numbers(WIDTH), "action_high": numbers(WIDTH),
}  # fmt: skip
ENVIRONMENT_OPTIONAL: dict[str, Check] = {
    "action_start": whole(-WHOLE), "action_dtype": Check(lambda v: v in DTYPES, f"one of {', '.join(DTYPES)}"),
}  # fmt: skip


def read_record(folder: Path) -> Row:
    """The checked run.json of the finished run in `folder`, its texts cleaned, without keys that no run writes.

    Raises RunError for a run that is not finished, and for a file with other keys, types or ranges than a run writes, or none.
    """
    path, record = folder / "run.json", read_status(folder)
    if record["status"] != "finished":
        raise RunError(f"{folder}: the run is not finished; its own command completes it")
    check_keys(f"{path}", record, REQUIRED, OPTIONAL)
    spec = record["environment"].get("spec") if "environment" in record else None
    if "environment" in record:
        _check_environment(path, record["environment"])
    if record["reference"] is not None:
        _check_reference(path, record["reference"])
    if (rows := len(record["seeds"]) * record["final_episodes"]) > ROWS:
        raise RunError(f"{path}: seeds and final_episodes make {rows:,} final episodes; expected at most {ROWS:,}")
    cleaned = clean_tree({key: value for key, value in record.items() if key in KEYS}, LONG)
    if spec is not None:
        cleaned["environment"]["spec"] = spec  # JSON, never shown; bench.replay checks it before it is used
    return cleaned


def read_status(folder: Path) -> Row:
    """run.json of a run that may be unfinished: a mapping whose `status` is running or finished, otherwise unchecked. Raises RunError."""
    try:
        record = read_json(folder, "run.json")
    except FileNotFoundError:
        raise RunError(f"{folder}: no run.json in it; expected a run directory") from None
    except OSError as error:
        raise RunError(f"{folder}: cannot be read (run.json: {error.strerror or error})") from error
    except DataError as error:
        raise RunError(f"{folder}: cannot be read ({str(error).removeprefix(f'{folder}/')}); remove it and run again") from error
    if not isinstance(record, dict) or record.get("status") not in ("running", "finished"):
        expected = "run.json: no record of a run; expected a mapping whose status is running or finished"
        raise RunError(f"{folder}: cannot be read ({expected}); remove it and run again")
    return record


def check_keys(where: str, found: Row, required: dict[str, Check], optional: dict[str, Check] | None = None) -> None:
    """Raise RunError, beginning with `where`, for a key of `required` that is absent and for a value that its check refuses."""
    if missing := [key for key in required if key not in found]:
        raise RunError(f"{where}: no key '{missing[0]}'; an earlier version wrote it, or it is damaged; run it again with force=true")
    for key, check in (required | (optional or {})).items():
        if key in found and not check.holds(found[key]):
            raise RunError(f"{where}: {key} = {shorten(found[key])}: expected {check.expected}")


def shorten(value: Any, longest: int = 60) -> str:
    """A value of unknown size in an error line."""
    if isinstance(value, dict | list):
        return f"a {'mapping' if isinstance(value, dict) else 'list'} of {len(value)}"
    shown = repr(value[: longest + 1] if isinstance(value, str) else value)
    return shown if len(shown) <= longest else f"{shown[:longest]}..."


def _check_environment(path: Path, environment: Row) -> None:
    check_keys(f"{path}: environment", environment, ENVIRONMENT, ENVIRONMENT_OPTIONAL)
    if environment["spec"]:
        try:
            named = isinstance(parse_json(environment["spec"])["id"], str)
        except (ValueError, TypeError, KeyError):
            named = False
        if not named:
            raise RunError(f"{path}: environment: spec is no environment's specification, JSON with an id")
    low, high, width = (environment[key] for key in ("action_low", "action_high", "action_width"))
    bounds = 0 if environment["num_actions"] else width
    if len(low) != bounds or len(high) != bounds or any(a > b for a, b in zip(low, high, strict=True)):
        raise RunError(f"{path}: environment: expected {bounds} action bounds, action_low nowhere above action_high")


def _check_reference(path: Path, reference: Row) -> None:
    """Raise RunError unless `reference` has the fields of Reference, with a better expert than a random policy."""
    own = {f.name: NAME if f.type == "str" else number() for f in fields(Reference) if f.default is MISSING}
    errors = {f.name: optional(number(0)) for f in fields(Reference) if f.name not in own}
    check_keys(f"{path}: reference", reference, own, errors)
    if extra := [key for key in reference if key not in own | errors]:
        raise RunError(f"{path}: reference: unknown key '{extra[0][:60]}'; expected {', '.join(own | errors)}")
    if reference["random"] >= reference["expert"]:
        numbers = f"random is {reference['random']:g} and expert {reference['expert']:g}"
        raise RunError(f"{path}: reference: {numbers}; expected a smaller return of the random policy")


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value)


def _is_whole(value: Any) -> bool:
    return isinstance(value, int) and not isinstance(value, bool)


def _is_list(value: Any, longest: int) -> bool:
    return isinstance(value, list) and len(value) <= longest
