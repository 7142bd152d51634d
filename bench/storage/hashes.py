"""Hashes of a run: of everything that determines its result, of all but its seeds, and of its method's settings.

config.yaml, the digest of the data and the kind of arithmetic give them again (`hashes_of`), so that no reader believes run.json.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict
from typing import Any

from bench.config.limits import PI_REF_UPDATES
from bench.config.plain import method_of, structured, typed
from bench.config.redact import redact
from bench.config.schema import Config, EvalConfig, OnlineConfig, PiRefConfig
from bench.errors import RunError
from bench.storage.identity import arithmetic
from bench.storage.layout import Row, digest_of

FORMAT = 3  # raised when equal settings no longer give equal results


def config_hash(config: Config, dataset_digest: str, arithmetic: str, pi_ref_digest: str | None = None, version: int = FORMAT) -> str:
    """The hash of everything that determines the result: method, pi_ref (and its data, if others), data, seeds, evaluation, arithmetic.

    version: FORMAT of the program that trained the run.
    """
    pi_ref, evaluation = _pi_ref(config, pi_ref_digest), _evaluation(config)
    data = redact(config.dataset), dataset_digest
    made = version, typed(config.algo).determinants(), pi_ref, *data, list(config.seeds), evaluation, arithmetic
    return digest_of((*made, *_online(config)))


def method_hash(config: Config, dataset_digest: str, arithmetic: str, pi_ref_digest: str | None = None) -> str:
    """`config_hash` without the seeds: runs that share it are portions of one result."""
    pi_ref, evaluation = _pi_ref(config, pi_ref_digest), _evaluation(config)
    made = FORMAT, typed(config.algo).determinants(), pi_ref, redact(config.dataset), dataset_digest, evaluation, arithmetic
    return digest_of((*made, *_online(config)))


def settings_hash(config: Config) -> str:
    """The hash of the settings of the method and its pi_ref: two runs with different ones are two configurations tried."""
    return digest_of((typed(config.algo).determinants(), _pi_ref(config, config.pi_ref.dataset), *_online(config)))


def _online(config: Config) -> tuple[dict[str, Any], ...]:
    """The determinants of the online phase; nothing without one."""
    return (found,) if (found := typed(config.online).determinants()) else ()


def _pi_ref(config: Config, data: str | None) -> tuple[Any, str | None] | None:
    """The determinants of pi_ref, `data` included; None for a method without one."""
    return (typed(config.pi_ref_algo).determinants(), data) if config.algo.needs_pi_ref else None


def _evaluation(config: Config) -> dict[str, Any]:
    """The settings of evaluation that determine the result, the environment included where it is not the data set's own."""
    used = ("every", "episodes", "final_episodes", *(["actions"] if config.eval.actions != "mean" else []))
    found = {k: v for k, v in asdict(config.eval).items() if k in used}
    return found if config.env_choice.own else found | asdict(config.env_choice)


def hashes_of(config: Config, record: Row) -> Row:
    """The hashes of the run of `config` on the data, device and precision that `record` states."""
    kind = arithmetic("cpu" if record["device"] == "cpu" else "cuda", record.get("precision", "float32"))
    made_of = record["dataset_digest"], kind, record.get("pi_ref_digest")
    return {
        "config_hash": config_hash(config, *made_of), "method_hash": method_hash(config, *made_of), "settings_hash": settings_hash(config),
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
