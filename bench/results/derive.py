"""The record of a run as tables show it: derived from its configuration and its data set, never believed.

run.json repeats the identity, the protocol and the hashes that config.yaml and the digest of the data determine, and the reference scores
that the data set states. A reader takes these from their sources. The other entries of run.json (device, wall time, versions, code
revision, facts of the data) are statements of the run: docs/security.md lists them.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

from bench.config.method_defaults import updates_by_default
from bench.errors import RunError
from bench.storage import manifest
from bench.storage.identity import env_choice, identity, on_the_way
from bench.storage.layout import Row, kept_policies
from bench.storage.record import OPTIONAL, REQUIRED, check_keys, shorten
from envs.errors import DataError
from envs.readers.stated_references import expected_reference

AGAIN = "run it again with force=true"


def derive(folder: Path, config: dict[str, Any], record: Row, hashes: Row) -> Row:
    """The record of the finished run in `folder` with all that can be derived derived again.

    config: config.yaml as plain data. hashes: those computed of it, and the default updates of pi_ref; empty if another version of the
    suite wrote the run, whose hashes and defaults were others. Adds `references_checked` (False if the data set is not on this machine and
    in no table), `hashes_checked`, and `kept_policies` (True if the policies of all evaluations are there, so that every selection rule can
    be verified). Raises RunError if run.json disagrees with config.yaml.
    """
    if not config:
        raise RunError(f"{folder}: no config.yaml in it; expected the directory of a finished run")
    try:
        own = identity(config)
        check_keys(f"{folder}/config.yaml", own, {}, REQUIRED | OPTIONAL)
        updates, found = on_the_way(own), kept_policies(folder)
        kept = len(updates) <= len(found) and all(update in found for update in updates)
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        raise RunError(f"{folder}/config.yaml: no configuration of a run ({type(error).__name__}: {error}); {AGAIN}") from error
    determined = {key: value for key, value in hashes.items() if key.endswith("_hash")}
    for line in (*disagreements(own | determined, record), *machine_disagreements(config, record)):
        raise RunError(f"{folder}/{line}; the files are of two runs; {AGAIN}")
    reference, checked = reference_here(config, record["reference"])
    return record | own | hashes | {
        "reference": reference, "references_checked": checked, "hashes_checked": bool(hashes), "kept_policies": kept,
        **({"default_updates": updates_by_default(own["algo"])} if hashes else {}),
    }  # fmt: skip


def disagreements(own: Row, record: Row) -> list[str]:
    """One line for each entry of the identity `own` that `record` has and states otherwise."""
    differing = [key for key, value in own.items() if record.get(key, value) != value]
    return [f"run.json: {key} = {shorten(record[key])}, but config.yaml has {shorten(own[key])}" for key in differing]


def machine_disagreements(config: dict[str, Any], record: Row) -> Iterator[str]:
    """One line for a kind of device and a precision in run.json that config.yaml rules out; both are part of the run's hash."""
    device, asked = record["device"], str(config.get("device", "auto"))
    if asked != "auto" and (asked == "cpu") != (device == "cpu"):
        yield f"run.json: device = {shorten(device)}, but config.yaml has {asked!r}"
    precision, chosen = record.get("precision", "float32"), (config.get("trainer") or {}).get("precision", "float32")
    possible = ("float32", "bf16" if chosen == "auto" else chosen)  # without the hardware for it, a run falls back to float32
    if precision not in possible:
        yield f"run.json: precision = {shorten(precision)}, but config.yaml has {chosen!r}"


def refuse_damage(folder: Path, record: Row) -> None:
    """Raise RunError if a file of the run in `folder` differs from its manifest. A run of an earlier version has none."""
    if record.get("manifest") and (damaged := manifest.damage(folder)):
        raise RunError(f"{damaged[0]}; {AGAIN}")


def reference_here(config: dict[str, Any], recorded: Row | None) -> tuple[Row | None, bool]:
    """The reference scores of the run of `config`, whatever it recorded, and True if they are known here; else the recorded ones.

    A data set that states none has a measured reference, or none if its best episodes are no better than random: only its steps and
    rollouts give these again (`verify`).
    """
    try:
        found = expected_reference(config["dataset"], env_choice(config))
    except (KeyError, DataError):
        return recorded, False
    if not found.certain:
        return recorded, False
    if found.measured:
        return (recorded, False) if recorded is None or recorded["name"] == "measured" else (None, True)
    return None if found.reference is None else found.reference.to_json(), True
