"""Suites name methods and data sets that exist."""

from __future__ import annotations

import pytest
from hydra import compose as compose_raw
from hydra import initialize_config_module
from omegaconf import OmegaConf
from omegaconf.errors import ConfigKeyError, OmegaConfBaseException

from algos.errors import ConfigError
from algos.methods.weighted_bc import WeightedBCConfig
from bench.config.choices import schemas
from bench.config.compose import compose, defaults, register
from bench.config.mistakes import explain
from bench.config.schema import Config
from bench.results.levelling import has_few_updates
from bench.storage.identity import evaluations
from envs.data.selection import parse
from envs.recorded.recipes import NAMES, recipes
from tests.helpers.learners import configured
from tests.helpers.paths import CONF

SUITES = [p.stem for p in sorted((CONF / "suite").glob("*.yaml")) if p.stem != "single"]


def jobs(suite: str) -> tuple[list[str], list[str]]:
    """The methods and the data sets of a suite."""
    register()
    with initialize_config_module("conf", version_base="1.3"):
        params = compose_raw("config", [f"suite={suite}"], return_hydra_config=True).hydra.sweeper.params
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


def test_reference_has_every_method_and_paper_the_family() -> None:
    (methods, datasets), (family, twelve) = jobs("reference"), jobs("paper")
    assert len(set(methods)) == len(methods) == 19
    assert set(methods) <= set(schemas())  # a user may have added methods
    qualities = ("medium-replay", "mixed", "medium-expert")
    assert set(datasets) == {f"iwsft/{task}/{quality}-v0" for task in NAMES for quality in qualities}
    assert set(datasets) < set(twelve)
    assert family == ["bc", "filtered_bc", "sft", "sft_q", "iw_sft", "iw_sft_q", "dft"]


@pytest.mark.parametrize("algo", ["bc", "sft", "iql", "edac"])
def test_methods_of_reference_have_their_own_updates_and_twenty_evaluations(algo: str) -> None:
    config = compose(["suite=reference", f"algo={algo}"])
    assert config.algo.updates == {"bc": 10_000, "sft": 4500, "iql": 1_000_000, "edac": 20_000}[algo]
    record = {"updates": config.algo.updates, "eval_every": config.eval.every, "eval_episodes": 1, "final_episodes": 1}
    assert len(list(evaluations(record))) == 20
    assert not has_few_updates({**record, "default_updates": defaults(algo)["algo.updates"]}) or algo == "edac"


def test_budgets_give_way_to_the_command_line_and_to_pi_ref() -> None:
    config = compose(["suite=reference", "algo=bc", "pi_ref.updates=40"])
    assert (config.algo.updates, config.eval.every) == (40, 2)
    config = compose(["suite=reference", "algo=iql", "algo.updates=30", "eval.every=7"])
    assert (config.algo.updates, config.eval.every) == (30, 7)
    assert compose(["suite=reference", "algo=iql", "algo.updates=3"]).eval.every == 1


@pytest.mark.parametrize("suite", ["paper", "reference"])
def test_a_budget_of_zero_is_refused(suite: str) -> None:
    with pytest.raises(ConfigError, match=r"algo.updates = 0: expected a positive number"):
        compose([f"suite={suite}", "algo=iql", "algo.updates=0"])


def test_a_method_without_a_budget_is_named() -> None:
    with pytest.raises(OmegaConfBaseException) as error:
        compose(["suite=reference", "algo=iql", "algo.name=mine"])
    assert "it has no number of updates for algo=mine; give one with algo.updates=NUMBER" in explain(error.value)


def test_a_key_of_another_method_is_distinguished_from_an_unknown_key() -> None:
    with pytest.raises(OmegaConfBaseException) as error:
        OmegaConf.merge(OmegaConf.structured(Config), {"algo": OmegaConf.structured(WeightedBCConfig)}).algo.critics  # noqa: B018
    assert explain(error.value).startswith("algo.critics: not a key of this method (awac, cal_ql, cfgrl, cql, ")
    line = "unknown key 'algo.critcs'; near names: algo.critics; python -m bench --help lists all"
    assert explain(ConfigKeyError("Key 'algo.critcs' is not in struct")) == line
