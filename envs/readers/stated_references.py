"""Reference scores of a data set by its name alone: from the data set where it is on this machine, else from this program's tables."""

from __future__ import annotations

import json
import os
from functools import cache
from pathlib import Path
from typing import Any, NamedTuple

from envs.data.env_choice import OWN, EnvChoice
from envs.data.horizon import stated_limit
from envs.data.references import D4RL, Reference, d4rl_row
from envs.data.selection import parse
from envs.errors import DataError
from envs.readers.d4rl_environments import evaluation_env
from envs.readers.reference_scores import stated
from envs.recorded.recipes import provenance, recipes
from envs.untrusted import parse_json, read_json

LARGEST = 2**24  # bytes of metadata that are read


class Expected(NamedTuple):
    """The reference scores that a run on a data set has.

    reference: None if it has none, or a measured one. measured: the data set states none, so that its steps and rollouts give one, or show
    that its best episodes are no better than random. certain: False if the name alone does not tell.
    """

    reference: Reference | None = None
    measured: bool = False
    certain: bool = True


UNCERTAIN = Expected(certain=False)


def expected_reference(dataset: str, choice: EnvChoice = OWN) -> Expected:
    """The reference scores of a run on `dataset`, an id or expression, that is evaluated in the environment of `choice`.

    No step of the data is read and nothing is downloaded. Raises KeyError for a data set that is neither on this machine nor in a table,
    DataError for an expression that is none.
    """
    if choice.without:
        return Expected()
    try:
        found = {_of_id(part.dataset, choice) for part in parse(dataset)}
    except (ValueError, TypeError, AttributeError) as error:  # of metadata that are none; readers say which
        raise KeyError(dataset) from error
    if len(found) == 1:
        return found.pop()
    if not all(part.certain for part in found):
        return UNCERTAIN
    return Expected(measured=all(part.measured or part.reference is not None for part in found))


def _of_id(dataset: str, choice: EnvChoice) -> Expected:
    """`expected_reference` of a data set without rules."""
    metadata = _metadata(dataset)
    statement = stated(metadata)
    if statement.fault:  # its numbers are no references, and none are measured
        return Expected()
    spec = parse_json(metadata.get("eval_env_spec") or metadata.get("env_spec") or "{}")
    if spec.get("additional_wrappers"):  # one that changes rewards leaves raw returns
        return UNCERTAIN
    if not choice.own and (kept := _keeps(dataset, metadata, spec, statement.reference, choice)) is not True:
        return UNCERTAIN if kept is None else Expected()
    return Expected(statement.reference, measured=statement.reference is None)


def _keeps(dataset: str, metadata: dict[str, Any], spec: dict[str, Any], reference: Reference | None, choice: EnvChoice) -> bool | None:
    """True if `choice` is the data set's own environment, whose references then hold; None if the name alone does not tell."""
    if choice.env is not None and choice.env != spec.get("id"):
        return False
    own = stated_limit(dataset, metadata, reference) or spec.get("max_episode_steps")
    if own is None or reference is None or (choice.env is not None and spec.get("kwargs")):
        return None
    return bool(choice.max_episode_steps in (None, own))


def _metadata(dataset: str) -> dict[str, Any]:
    """metadata.json of the data set, or the part of it that this program's tables give. Raises KeyError."""
    try:
        found = read_json(_root() / dataset, "data/metadata.json", LARGEST)
    except FileNotFoundError:
        pass
    except (OSError, DataError) as error:
        raise KeyError(dataset) from error
    else:
        return found if isinstance(found, dict) else {}
    name = dataset.removeprefix("d4rl/")
    if (row := d4rl_row(name)) is not None and name != dataset:
        spec = json.dumps({"id": evaluation_env(name).env_id})
        return {"ref_min_score": float(row["random"]), "ref_max_score": float(row["expert"]), "reference": D4RL, "env_spec": spec}
    return _built_in()[dataset]


def _root() -> Path:
    """Minari's root, which this does not make."""
    return Path(os.environ.get("MINARI_DATASETS_PATH") or Path.home() / ".minari" / "datasets")


@cache
def _built_in() -> dict[str, dict[str, Any]]:
    """The metadata of every built-in data set that references are found by."""
    found = {}
    for name, recipe in recipes().items():
        reference = provenance(recipe).reference
        numbers = (
            {} if reference is None else {"ref_min_score": reference.random, "ref_max_score": reference.expert, "reference": reference.name}
        )
        found[name] = numbers | {"env_spec": json.dumps({"id": recipe.env_id})}
    return found
