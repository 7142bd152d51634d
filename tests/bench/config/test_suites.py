"""Suites name methods and data sets that exist."""

from __future__ import annotations

import pytest
from hydra import compose, initialize_config_module
from omegaconf import OmegaConf
from omegaconf.errors import ConfigKeyError, OmegaConfBaseException

from algos.methods.weighted_bc import WeightedBCConfig
from bench.config.compose import register
from bench.config.mistakes import explain
from bench.config.schema import Config
from envs.data.selection import parse
from envs.recorded.recipes import recipes
from tests.helpers.learners import configured
from tests.helpers.paths import CONF

SUITES = [p.stem for p in sorted((CONF / "suite").glob("*.yaml")) if p.stem != "single"]


def jobs(suite: str) -> tuple[list[str], list[str]]:
    """The methods and the data sets of a suite."""
    register()
    with initialize_config_module("conf", version_base="1.3"):
        params = compose("config", [f"suite={suite}"], return_hydra_config=True).hydra.sweeper.params
    return str(params.algo).split(","), str(params.dataset).split(",")


@pytest.mark.parametrize("suite", SUITES)
def test_every_job_of_a_suite_can_be_configured(suite: str) -> None:
    methods, datasets = jobs(suite)
    if suite == "kitchen-d4rl":  # downloaded data, with a pi_ref from a set of its own
        parts = [part for dataset in datasets for part in parse(dataset.strip("'"))]
        assert {part.dataset for part in parts} == {f"D4RL/kitchen/{quality}-v2" for quality in ("complete", "mixed")}
        assert all(configured(m, f"suite={suite}").needs_pi_ref for m in methods)
        return
    assert set(datasets) <= recipes().keys()
    needs_pi_ref = []
    for method in methods:
        config = configured(method, f"suite={suite}")
        assert config.name == method
        needs_pi_ref += [config.needs_pi_ref]
    assert methods[0] == "bc" or not any(needs_pi_ref)  # the policy of BC is the pi_ref of the others


def test_the_two_baselines_suites_share_data_sets_and_no_method() -> None:
    (methods, datasets), (costly, same) = jobs("baselines"), jobs("baselines-costly")
    assert len([*methods, *costly]) == len({*methods, *costly}) >= 19
    assert datasets == same
    assert set(datasets) == {d for d in recipes() if "/ant/" not in d and ("medium-replay" in d or "medium-expert" in d)}


def test_a_key_of_another_method_is_distinguished_from_an_unknown_key() -> None:
    with pytest.raises(OmegaConfBaseException) as error:
        OmegaConf.merge(OmegaConf.structured(Config), {"algo": OmegaConf.structured(WeightedBCConfig)}).algo.critics  # noqa: B018
    assert explain(error.value).startswith("algo.critics: not a key of this method (awac, cfgrl, cql, ")
    line = "unknown key 'algo.critcs'; near names: algo.critics; python -m bench --help lists all"
    assert explain(ConfigKeyError("Key 'algo.critcs' is not in struct")) == line
