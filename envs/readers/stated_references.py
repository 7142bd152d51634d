"""Reference scores of a data set by its name alone: from the data set where it is on this machine, else from this program's tables."""

from __future__ import annotations

import json
import os
from functools import cache
from pathlib import Path

from envs.data.references import D4RL, Reference, d4rl_row
from envs.data.selection import parse
from envs.errors import DataError
from envs.readers.d4rl_environments import evaluation_env
from envs.readers.reference_scores import stated
from envs.recorded.recipes import provenance, recipes
from envs.untrusted import read_json

LARGEST = 2**24  # bytes of metadata that are read


def stated_reference(dataset: str) -> Reference | None:
    """The reference scores that `dataset`, an id or expression, states; None if it states none, so that they are measured.

    No step of the data is read and nothing is downloaded. Raises KeyError for a data set that is neither on this machine nor in a table,
    DataError for an expression that is none.
    """
    found = {_of_id(part.dataset) for part in parse(dataset)}
    return found.pop() if len(found) == 1 else None


def _of_id(dataset: str) -> Reference | None:
    try:
        metadata = read_json(_root() / dataset, "data/metadata.json", LARGEST)
    except FileNotFoundError:
        pass
    except (OSError, DataError) as error:
        raise KeyError(dataset) from error
    else:
        return stated(metadata if isinstance(metadata, dict) else {}).reference
    name = dataset.removeprefix("d4rl/")
    if (row := d4rl_row(name)) is not None and name != dataset:
        spec = json.dumps({"id": evaluation_env(name).env_id})
        written = {"ref_min_score": float(row["random"]), "ref_max_score": float(row["expert"]), "reference": D4RL, "env_spec": spec}
        return stated(written).reference
    return _built_in()[dataset]


def _root() -> Path:
    """Minari's root, which this does not make."""
    return Path(os.environ.get("MINARI_DATASETS_PATH") or Path.home() / ".minari" / "datasets")


@cache
def _built_in() -> dict[str, Reference | None]:
    return {name: provenance(recipe).reference for name, recipe in recipes().items()}
