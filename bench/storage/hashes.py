"""Hashes of a run: of everything that determines its result, of all but its seeds, and of its method's settings.

config.yaml, the digest of the data and the kind of arithmetic give them again (`hashes_of`), so that no reader believes run.json.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict
from typing import Any, NamedTuple

from bench.config.limits import PI_REF_UPDATES
from bench.config.plain import method_of, structured, typed
from bench.config.redact import redact
from bench.config.schema import Config, EvalConfig, OnlineConfig, PiRefConfig
from bench.errors import RunError
from bench.storage.identity import arithmetic
from bench.storage.layout import Row, digest_of

FORMAT = 3  # raised when equal settings no longer give equal results


class Determinants(NamedTuple):
    """Everything that determines the result of a configuration, apart from its data and seeds.

    pi_ref: None for a method without one. online: empty without an online phase.
    """

    method: dict[str, Any]
    pi_ref: dict[str, Any] | None
    evaluation: dict[str, Any]
    online: tuple[dict[str, Any], ...]


def determinants(config: Config) -> Determinants:
    """The determinants of `config`."""
    pi_ref = typed(config.pi_ref_algo).determinants() if config.algo.needs_pi_ref else None
    online = (found,) if (found := typed(config.online).determinants()) else ()
    return Determinants(typed(config.algo).determinants(), pi_ref, _evaluation(config), online)


def config_hash(
    config: Config,
    dataset_digest: str,
    arithmetic: str,
    pi_ref_digest: str | None = None,
    version: int = FORMAT,
    found: Determinants | None = None,
) -> str:
    """The hash of everything that determines the result: method, pi_ref (and its data, if others), data, seeds, evaluation, arithmetic.

    version: FORMAT of the program that trained the run. found: the determinants of `config`, if they are known.
    """
    method, pi_ref, evaluation, online = found or determinants(config)
    data = redact(config.dataset), dataset_digest
    return digest_of((version, method, _with(pi_ref, pi_ref_digest), *data, list(config.seeds), evaluation, arithmetic, *online))


def method_hash(
    config: Config, dataset_digest: str, arithmetic: str, pi_ref_digest: str | None = None, found: Determinants | None = None
) -> str:
    """`config_hash` without the seeds: runs that share it are portions of one result."""
    method, pi_ref, evaluation, online = found or determinants(config)
    data = redact(config.dataset), dataset_digest
    return digest_of((FORMAT, method, _with(pi_ref, pi_ref_digest), *data, evaluation, arithmetic, *online))


def settings_hash(config: Config, found: Determinants | None = None) -> str:
    """The hash of the settings of the method and its pi_ref: two runs with different ones are two configurations tried."""
    method, pi_ref, _, online = found or determinants(config)
    return digest_of((method, _with(pi_ref, config.pi_ref.dataset), *online))


def _with(pi_ref: dict[str, Any] | None, data: str | None) -> tuple[dict[str, Any], str | None] | None:
    """The determinants of pi_ref and its data; None for a method without one."""
    return None if pi_ref is None else (pi_ref, data)


def _evaluation(config: Config) -> dict[str, Any]:
    """The settings of evaluation that determine the result, the environment included where it is not the data set's own."""
    used = ("every", "episodes", "final_episodes", *(["actions"] if config.eval.actions != "mean" else []))
    found = {k: v for k, v in asdict(config.eval).items() if k in used}
    return found if config.env_choice.own else found | asdict(config.env_choice)


def hashes_of(config: Config, record: Row) -> Row:
    """The hashes of the run of `config` on the data, device and precision that `record` states."""
    kind = arithmetic("cpu" if record["device"] == "cpu" else "cuda", record.get("precision", "float32"))
    made_of, found = (record["dataset_digest"], kind, record.get("pi_ref_digest")), determinants(config)
    return {
        "config_hash": config_hash(config, *made_of, found=found), "method_hash": method_hash(config, *made_of, found=found),
        "settings_hash": settings_hash(config, found),
    }  # fmt: skip


def hashes_again(tree: Mapping[str, Any], record: Row) -> Row:
    """`hashes_of` the run with config.yaml `tree`, and `default_pi_ref_updates`, None for a method without a pi_ref; empty if another
    version of the suite wrote the run, whose hashes are others."""
    if record.get("format") != FORMAT:
        return {}
    try:
        config = Config(method_of(tree["algo"]), tree["dataset"], list(tree["seeds"]), tree.get("env"))
        config.eval, config.pi_ref = structured(EvalConfig, tree["eval"]), structured(PiRefConfig, tree["pi_ref"])
        config.online = structured(OnlineConfig, tree.get("online", {}))
        return hashes_of(config, record) | {"default_pi_ref_updates": PI_REF_UPDATES if config.algo.needs_pi_ref else None}
    except (RunError, ArithmeticError, AttributeError, LookupError, TypeError, ValueError):
        return {}
