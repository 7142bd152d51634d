"""Cards of data sets: facts from their runs and, if the data are on this machine, from Minari's metadata."""

from __future__ import annotations

from contextlib import suppress

from bench.numbers import spell_return
from bench.results.runs import Runs
from bench.storage.layout import Row
from envs.data.minari_root import datasets_root
from envs.data.references import Reference
from envs.data.selection import parse
from envs.errors import DataError
from envs.untrusted import clean, parse_json, read_json


def dataset_cards(runs: Runs) -> list[Row]:
    """Name and facts of every data set."""
    first: dict[str, Row] = {}
    for record, _ in runs:
        first.setdefault(record["dataset"], record)
    return [{"name": name, "facts": _facts(record, metadata_of(name))} for name, record in sorted(first.items())]


def _facts(record: Row, metadata: Row) -> list[tuple[str, str]]:
    mean, reference = record["data_return_mean"], record["reference"]
    facts: list[tuple[str, str]] = [("digest", record["dataset_digest"])]
    for key, name in (("total_episodes", "episodes"), ("total_steps", "steps")):
        if isinstance(metadata.get(key), int):
            facts.append((name, f"{metadata[key]:,}"))
    with suppress(ValueError, TypeError, KeyError):
        facts.append(("environment", clean(str(parse_json(metadata["env_spec"])["id"]))))
    facts.append(("mean return", "of other rewards than the environment's" if mean is None else spell_return(mean)))
    if reference is None:
        facts.append(("reference", "none: raw returns are shown"))
    else:
        if mean is not None:
            facts.append(("mean score", f"{100 * (mean - reference['random']) / (reference['expert'] - reference['random']):.1f}"))
        facts.append(("reference", str(Reference(**reference))))
    facts.append(("clipped action entries", f"{record['clipped_actions']:.2%}"))
    return facts + [(key, clean(str(metadata[key]))) for key in ("author", "algorithm_name", "description") if metadata.get(key)]


def metadata_of(dataset: str) -> Row:
    """metadata.json of a data set; empty if the data are not on this machine or the id points outside their root."""
    try:
        (part,) = parse(dataset)
        found = {} if part.rules else read_json(datasets_root() / part.dataset, "data/metadata.json")
    except (OSError, ValueError, DataError):
        return {}
    return found if isinstance(found, dict) else {}
