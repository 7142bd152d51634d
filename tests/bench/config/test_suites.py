"""Suites name methods and data sets that exist."""

from __future__ import annotations

import pytest
from omegaconf import OmegaConf
from omegaconf.errors import ConfigKeyError, OmegaConfBaseException

from algos.methods.weighted_bc import WeightedBCConfig
from bench.config.mistakes import explain
from bench.config.schema import Config
from envs.recorded.record import recipes
from tests.helpers.learners import configured
from tests.helpers.paths import CONF

SUITES = [p.stem for p in sorted((CONF / "suite").glob("*.yaml")) if p.stem != "single"]


def jobs(suite: str) -> tuple[list[str], list[str]]:
    """(methods, data sets)"""
    params = OmegaConf.load(CONF / "suite" / f"{suite}.yaml").hydra.sweeper.params
    return str(params.algo).split(","), str(params.dataset).split(",")


@pytest.mark.parametrize("suite", SUITES)
def test_every_job_of_a_suite_can_be_configured(suite: str) -> None:
    methods, datasets = jobs(suite)
    assert methods[0] == "bc"  # whose policy is the others' pi_ref
    assert set(datasets) <= recipes().keys()
    for method in methods:
        assert configured(method, f"suite={suite}").name == method


def test_baselines_has_every_method_and_both_qualities() -> None:
    methods, datasets = jobs("baselines")
    assert set(methods) == {p.stem for p in (CONF / "algo").glob("*.yaml") if not p.stem.startswith("_")}
    assert len(methods) == len(set(methods))
    assert set(datasets) == {d for d in recipes() if "/ant/" not in d and ("medium-replay" in d or "medium-expert" in d)}


def test_a_key_of_another_method_is_told_from_one_of_none() -> None:
    with pytest.raises(OmegaConfBaseException) as error:
        OmegaConf.merge(OmegaConf.structured(Config), {"algo": OmegaConf.structured(WeightedBCConfig)}).algo.critics  # noqa: B018
    assert explain(error.value).startswith("algo.critics: not a key of this method; ")
    assert explain(ConfigKeyError("Key 'algo.critcs' is not in struct")).startswith("unknown key 'algo.critcs'; near names: algo.critics, ")
